// SPDX-License-Identifier: MIT
#pragma once

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <string_view>

/// A client that sends exactly the given bytes, well-formed or not.
namespace mirilla::test {

class Connection {
 public:
  explicit Connection(int port, int timeout_s = 20) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    const timeval timeout{.tv_sec = timeout_s, .tv_usec = 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    ::setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    open_ = ::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  ~Connection() { ::close(socket_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  bool open() const { return open_; }
  bool send(std::string_view text) {
    while (!text.empty()) {
      const ssize_t sent = ::send(socket_, text.data(), text.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      text.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }
  /// Everything until the other side closes, or the timeout.
  std::string receive() {
    std::string all;
    char buffer[1 << 14];
    for (ssize_t n = 0; (n = ::recv(socket_, buffer, sizeof buffer, 0)) > 0;) all.append(buffer, static_cast<size_t>(n));
    return all;
  }

 private:
  int socket_;
  bool open_ = false;
};

struct Answer {
  int status = 0;  // 0: no answer came
  std::string head, body;
};

/// Sends these bytes and reads the answer; they should ask for the connection to be closed.
inline Answer ask(int port, std::string_view bytes) {
  Connection connection(port);
  connection.send(bytes);
  const std::string all = connection.receive();
  const size_t end = all.find("\r\n\r\n");
  if (end == std::string::npos || !all.starts_with("HTTP/1.1 ")) return {.head = all};
  return {.status = std::stoi(all.substr(9, 3)), .head = all.substr(0, end), .body = all.substr(end + 4)};
}

inline Answer get(int port, const std::string& path, const std::string& headers = "Host: localhost\r\n") {
  return ask(port, "GET " + path + " HTTP/1.1\r\n" + headers + "Connection: close\r\n\r\n");
}

inline Answer post(int port, const std::string& path, std::string_view body, const std::string& headers = "Host: localhost\r\n") {
  std::string text = "POST " + path + " HTTP/1.1\r\n" + headers +
                     "Connection: close\r\nContent-Type: application/octet-stream\r\nContent-Length: " + std::to_string(body.size()) +
                     "\r\n\r\n";
  text += body;
  return ask(port, text);
}

}  // namespace mirilla::test

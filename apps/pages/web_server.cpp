// SPDX-License-Identifier: MIT
#include "apps/pages/web_server.h"

#include <fmt/format.h>
#include <httplib.h>

#include <charconv>
#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "apps/pages/assets.h"
#include "apps/pages/page.h"
#include "nn/run/finite.h"

namespace mirilla::pages {

namespace {

using httplib::Request, httplib::Response;

constexpr int kBadRequest = 400, kForbidden = 403, kNotFound = 404, kTimeout = 408, kTooLarge = 413, kFailed = 500, kBusy = 503;
constexpr const char *kJson = "application/json; charset=utf-8", *kHtml = "text/html; charset=utf-8";

// For both pages: everything they need is in them or on this server.
constexpr const char* kPolicy =
    "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'";

void answer_error(Response& response, int status, const std::string& error, const std::string& hint = "") {
  response.status = status;
  response.set_content(nlohmann::json{{"error", error}, {"hint", hint}}.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace),
                       kJson);
}

void answer_error(Response& response, int status, const Error& error) { answer_error(response, status, error.message(), error.hint()); }

// An answer, or an error instead.
template <class Work>
void answer(Response& response, Work work) {
  try {
    work();
  } catch (const Busy& error) {
    response.set_header("Retry-After", "1");
    answer_error(response, kBusy, error);
  } catch (const NotFound& error) {
    answer_error(response, kNotFound, error);
  } catch (const nn::NotFinite& error) {  // not the client's fault
    answer_error(response, kFailed, error);
  } catch (const Error& error) {
    answer_error(response, kBadRequest, error);
  } catch (const std::bad_alloc&) {
    answer_error(response, kBusy, "there is not enough memory for this", "try a smaller photo");
  } catch (const std::exception&) {  // its text is for programmers
    answer_error(response, kFailed, "an unknown error occurred", "you can continue to use the page; please report the error");
  }
}

std::string front_page() { return whole_page(assets::serve_html(), assets::serve_js()); }

// "http://127.0.0.1:8013" of the server's own "127.0.0.1:8013".
bool same_origin(const Request& request) {
  if (!request.has_header("Origin")) return true;
  return request.get_header_value("Origin") == "http://" + request.get_header_value("Host");
}

Question question_of(const Request& request) {
  Question question;
  const auto take = [&](const char* name, std::string& into) {
    if (request.has_param(name)) into = request.get_param_value(name);
  };
  take("layer", question.layer);
  take("method", question.method);
  take("colormap", question.colormap);
  std::string target;
  take("class", target);
  if (target.empty()) return question;
  int index = -1;
  const auto [end, error] = std::from_chars(target.data(), target.data() + target.size(), index);
  if (error != std::errc() || end != target.data() + target.size() || index < 0)
    throw UsageError("expected a class number", "/api/about lists the classes; the first has number 0");
  question.target = index;
  return question;
}

// Reads the body as it arrives, up to the allowed size and time.
bool read_body(const httplib::ContentReader& reader, size_t most, int seconds, std::string& body, Response& response) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  bool late = false, large = false;
  const bool whole = reader([&](const char* bytes, size_t size) {
    late = std::chrono::steady_clock::now() > end;
    large = body.size() + size > most;
    if (late || large) return false;
    body.append(bytes, size);
    return true;
  });
  if (large || response.status == kTooLarge)
    answer_error(response, kTooLarge, "the file is too large", "the limit is " + std::to_string(most >> 20) + " MB");
  else if (late || !whole)
    answer_error(response, kTimeout, "the upload took too long", "try again");
  if (!whole || late || large) response.set_header("Connection", "close");
  return whole && !late && !large;
}

void add_routes(httplib::Server& server, PhotoService& service, const ServeOptions& options) {
  server.Get("/", [page = front_page()](const Request&, Response& response) { response.set_content(page, kHtml); });
  server.Get("/api/about", [&](const Request&, Response& response) { response.set_content(service.about(), kJson); });
  server.Post("/api/photos", [&](const Request& request, Response& response, const httplib::ContentReader& reader) {
    std::string body;
    if (request.is_multipart_form_data()) return answer_error(response, kBadRequest, "expected the bytes of one picture file, got a form");
    if (!read_body(reader, service.limits().photo_bytes, options.upload_s, body, response)) return;
    answer(response, [&] { response.set_content(service.add({reinterpret_cast<const uint8_t*>(body.data()), body.size()}), kJson); });
  });
  const std::string photo = "/api/photos/([0-9a-f]{32})/";
  server.Get(photo + "picture\\.png", [&](const Request& request, Response& response) {
    answer(response, [&] {
      const std::vector<uint8_t> png = service.picture(request.matches[1]);
      response.set_content(reinterpret_cast<const char*>(png.data()), png.size(), "image/png");
    });
  });
  server.Get(photo + "why", [&](const Request& request, Response& response) {
    answer(response, [&] { response.set_content(service.explain(request.matches[1], question_of(request)), kJson); });
  });
  server.Get(photo + "explore", [&](const Request& request, Response& response) {
    answer(response, [&] { response.set_content(service.explore(request.matches[1]), kHtml); });
  });
}

// Whether the length of a body is a number, or absent; the library takes any other text for 0.
bool has_sane_length(const Request& request) {
  if (request.get_header_value_count("Content-Length") > 1) return false;
  const std::string text = request.get_header_value("Content-Length");
  uint64_t length = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), length);
  return !request.has_header("Content-Length") || (!text.empty() && error == std::errc() && end == text.data() + text.size());
}

void guard(httplib::Server& server, const ServeOptions& options) {
  server.set_payload_max_length(size_t{1} << 30);  // read_body counts, and reports the limit
  // The library's default lets a second server share the port.
  server.set_socket_options([](socket_t socket) {
    const int yes = 1;
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  });
  server.set_read_timeout(options.timeout_s);
  server.set_write_timeout(options.timeout_s);
  server.set_keep_alive_timeout(options.timeout_s);
  server.new_task_queue = [threads = options.threads] { return new httplib::ThreadPool(static_cast<size_t>(threads)); };
  server.set_default_headers({{"Content-Security-Policy", kPolicy},
                              {"X-Content-Type-Options", "nosniff"},
                              {"X-Frame-Options", "DENY"},
                              {"Referrer-Policy", "no-referrer"},
                              {"Cross-Origin-Resource-Policy", "same-origin"},
                              {"Cross-Origin-Opener-Policy", "same-origin"},
                              {"Cache-Control", "no-store"}});
  server.set_pre_routing_handler([host = options.host](const Request& request, Response& response) {
    using Handled = httplib::Server::HandlerResponse;
    // Answers are whole, as HTTP allows: a short request for a thousand ranges would otherwise be answered with a thousand copies.
    const_cast<Request&>(request).ranges.clear();
    if (!has_sane_length(request)) {
      answer_error(response, kBadRequest, "Content-Length is not a number of bytes");
      response.set_header("Connection", "close");
      return Handled::Handled;
    }
    if (!is_own_host(request.get_header_value("Host"), host)) {
      answer_error(response, kForbidden, "this server does not accept that host name", "open the address that it printed");
      return Handled::Handled;
    }
    if (!same_origin(request)) {
      answer_error(response, kForbidden, "only this server's own page may send requests to it");
      return Handled::Handled;
    }
    return Handled::Unhandled;
  });
  server.set_error_handler([](const Request&, Response& response) {
    if (!response.body.empty()) return;
    answer_error(response, response.status,
                 response.status == kNotFound ? "there is no page at this address" : "the request was not understood");
  });
}

}  // namespace

bool can_serve() { return true; }

void serve(PhotoService& service, const ServeOptions& options, const std::function<void(const std::string& address)>& ready,
           const std::atomic<bool>& stop) {
  httplib::Server server;
  guard(server, options);
  add_routes(server, service, options);
  const int port = options.port == 0                                 ? server.bind_to_any_port(options.host)
                   : server.bind_to_port(options.host, options.port) ? options.port
                                                                     : -1;
  if (port <= 0)
    throw Error(fmt::format("cannot listen on {}:{}", options.host, options.port),
                "does another program use this port? --port 0 chooses a free one");
  std::atomic<bool> ended = false;
  std::thread listening([&] {
    server.listen_after_bind();
    ended = true;
  });
  const bool v6 = options.host.find(':') != std::string::npos;
  ready(fmt::format("http://{}{}{}:{}/", v6 ? "[" : "", options.host, v6 ? "]" : "", port));
  while (!stop.load() && !ended.load()) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  server.stop();
  listening.join();
  if (!stop.load()) throw Error("the server stopped unexpectedly");
}

}  // namespace mirilla::pages

// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <string_view>

#include "apps/pages/photo_service.h"

/// `mirilla serve`: a PhotoService for a browser.
namespace mirilla::pages {

struct ServeOptions {
  std::string host = "127.0.0.1";
  int port = 8013;    // 0: any free one
  int threads = 24;   // connections served at once
  int timeout_s = 5;  // for a client that sends or receives nothing
  int upload_s = 60;  // for a whole photo, however slowly it arrives
};

/// Whether a program built here can serve: without cpp-httplib it cannot.
bool can_serve();

/// Serves until `stop` is true; calls `ready` with the address, "http://127.0.0.1:8013/", once connections are accepted.
///
///   GET  /                                    the page
///   GET  /api/about                           PhotoService::about
///   POST /api/photos                          the bytes of a picture file; PhotoService::add
///   GET  /api/photos/ID/picture.png
///   GET  /api/photos/ID/why?layer=&class=&method=&colormap=      PhotoService::explain; `class` is a number
///   GET  /api/photos/ID/explore               PhotoService::explore
///
/// An error is {"error": a sentence, "hint": what to do} with 400 for an invalid question or picture, 403 for a request from another site,
/// 404, 413 for too large a body, 503 if too many requests wait. Requests whose Host is neither a number nor localhost nor
/// `host` are refused, so no other name can be pointed here (DNS rebinding); those with another site's Origin too. No file of this machine
/// is read. Throws Error if the address is not available, and if can_serve() is false.
void serve(PhotoService& service, const ServeOptions& options, const std::function<void(const std::string& address)>& ready,
           const std::atomic<bool>& stop);

/// Whether a Host header names this server: a number, [a number], localhost, or `host`, each with or without a port.
bool is_own_host(std::string_view header, std::string_view host);

}  // namespace mirilla::pages

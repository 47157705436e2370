// SPDX-License-Identifier: MIT
#pragma once

#include <zip.h>

#include <string>

#include "kernels/core/system_reason.h"

namespace mirilla {

/// The error of libzip in plain words that fit after a colon: "it ends too early", "no space is left on the disk".
inline std::string zip_reason(const zip_error_t* error) {
  if (zip_error_system_type(error) == ZIP_ET_SYS && zip_error_code_system(error) != 0) return system_reason(zip_error_code_system(error));
  switch (zip_error_code_zip(error)) {
    case ZIP_ER_NOZIP: return "it is not a zip, or its end is missing";
    case ZIP_ER_INCONS:
    case ZIP_ER_MULTIDISK: return "its parts contradict each other";
    case ZIP_ER_CRC: return "its checksum is wrong";
    case ZIP_ER_EOF: return "it ends too early";
    case ZIP_ER_ZLIB: return "its compressed data is damaged";
    case ZIP_ER_COMPNOTSUPP: return "it is compressed by an unknown method";
    case ZIP_ER_ENCRNOTSUPP:
    case ZIP_ER_NOPASSWD:
    case ZIP_ER_WRONGPASSWD: return "it is locked with a password";
    case ZIP_ER_MEMORY: return "there is not enough memory";
    case ZIP_ER_NOENT: return system_reason(ENOENT);
    case ZIP_ER_EXISTS: return "it contains two entries with one name";
    default: return "it cannot be read or written";
  }
}

}  // namespace mirilla

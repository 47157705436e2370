// SPDX-License-Identifier: MIT
#include "kernels/core/system_reason.h"

#include <fmt/format.h>

#include <cerrno>

namespace mirilla {

std::string system_reason(int error_number) {
  switch (error_number) {
    case 0: return "the system does not say why";
    case ENOENT: return "there is no such file or folder";
    case EACCES:
    case EPERM: return "you have no permission for it";
    case EEXIST: return "something of this name is there already";
    case ENOTDIR: return "a part of its path is a file and not a folder";
    case EISDIR: return "it is a folder";
    case ENOTEMPTY: return "the folder is not empty";
    case ELOOP: return "its links lead in a circle";
    case ENAMETOOLONG: return "its name is too long";
    case EILSEQ:
    case EINVAL: return "the file system does not take it";
    case ENOSPC: return "no space is left on the disk";
    case EDQUOT: return "your share of the disk is used up";
    case EFBIG: return "it is too large for the file system";
    case EROFS: return "the file system is read-only";
    case EIO: return "the disk failed";
    case EMFILE:
    case ENFILE: return "too many files are open";
    case ENOMEM: return "no memory is left";
    case EAGAIN: return "the system has no resources for it now";
    case EBUSY:
    case ETXTBSY: return "another program uses it";
    case EBADF: return "it is closed";
    case EPIPE: return "whoever read it is gone";
    case ENXIO:
    case ENODEV: return "there is no such device";
    case EXDEV: return "it would cross from one file system to another";
    case EMLINK: return "it has too many links";
    case ESTALE: return "its file server has lost it";
    case EINTR: return "a signal came in between";
    default: return fmt::format("the system's error {}", error_number);
  }
}

std::string system_reason(const std::error_code& error) {
  const bool known = error.category() == std::generic_category() || error.category() == std::system_category();
  return system_reason(known ? error.value() : 0);
}

}  // namespace mirilla

//! The names that Node gives errors of the operating system.

use std::io;

/// Errors that have no kind in the standard library, or share one with others, by the numbers of this system.
#[cfg(target_os = "linux")]
const NAMES: &[(i32, &str)] = &[
    (1, "EPERM"),
    (6, "ENXIO"),
    (20, "ENOTDIR"),
    (21, "EISDIR"),
    (23, "ENFILE"),
    (24, "EMFILE"),
    (36, "ENAMETOOLONG"),
    (40, "ELOOP"),
    (71, "EPROTO"),
    (88, "ENOTSOCK"),
    (90, "EMSGSIZE"),
    (91, "EPROTOTYPE"),
    (92, "ENOPROTOOPT"),
    (93, "EPROTONOSUPPORT"),
    (94, "ESOCKTNOSUPPORT"),
    (95, "ENOTSUP"),
    (97, "EAFNOSUPPORT"),
    (100, "ENETDOWN"),
    (105, "ENOBUFS"),
    (106, "EISCONN"),
    (108, "ESHUTDOWN"),
    (112, "EHOSTDOWN"),
    (114, "EALREADY"),
];
#[cfg(windows)]
const NAMES: &[(i32, &str)] = &[
    (10024, "EMFILE"),
    (10038, "ENOTSOCK"),
    (10040, "EMSGSIZE"),
    (10047, "EAFNOSUPPORT"),
    (10050, "ENETDOWN"),
    (10055, "ENOBUFS"),
    (10056, "EISCONN"),
];
#[cfg(not(any(target_os = "linux", windows)))]
const NAMES: &[(i32, &str)] = &[
    (1, "EPERM"),
    (6, "ENXIO"),
    (20, "ENOTDIR"),
    (21, "EISDIR"),
    (23, "ENFILE"),
    (24, "EMFILE"),
    (37, "EALREADY"),
    (38, "ENOTSOCK"),
    (40, "EMSGSIZE"),
    (41, "EPROTOTYPE"),
    (42, "ENOPROTOOPT"),
    (43, "EPROTONOSUPPORT"),
    (44, "ESOCKTNOSUPPORT"),
    (45, "ENOTSUP"),
    (47, "EAFNOSUPPORT"),
    (50, "ENETDOWN"),
    (55, "ENOBUFS"),
    (56, "EISCONN"),
    (58, "ESHUTDOWN"),
    (62, "ELOOP"),
    (63, "ENAMETOOLONG"),
    (64, "EHOSTDOWN"),
    (100, "EPROTO"),
];

/// The name of an error.
pub(super) fn code_of(error: &io::Error) -> &'static str {
    use io::ErrorKind as Kind;
    let named = |number| NAMES.iter().find(|(known, _)| *known == number).map(|(_, name)| *name);
    if let Some(name) = error.raw_os_error().and_then(named) {
        return name;
    }
    match error.kind() {
        Kind::ConnectionRefused => "ECONNREFUSED",
        Kind::ConnectionReset | Kind::UnexpectedEof => "ECONNRESET",
        Kind::ConnectionAborted => "ECONNABORTED",
        Kind::HostUnreachable => "EHOSTUNREACH",
        Kind::NetworkUnreachable => "ENETUNREACH",
        Kind::TimedOut => "ETIMEDOUT",
        Kind::BrokenPipe => "EPIPE",
        Kind::NotFound => "ENOENT",
        Kind::PermissionDenied => "EACCES",
        Kind::AddrInUse => "EADDRINUSE",
        Kind::AddrNotAvailable => "EADDRNOTAVAIL",
        Kind::InvalidInput => "EINVAL",
        Kind::NotConnected => "ENOTCONN",
        Kind::OutOfMemory => "ENOMEM",
        Kind::WouldBlock => "EAGAIN",
        _ => "EIO",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_the_name_that_node_gives_it() {
        for (number, name) in NAMES {
            assert_eq!(code_of(&io::Error::from_raw_os_error(*number)), *name);
        }
        #[cfg(unix)]
        assert_eq!(code_of(&io::Error::from_raw_os_error(13)), "EACCES");
        assert_eq!(code_of(&io::Error::other("no number")), "EIO");
    }
}

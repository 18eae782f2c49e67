//! How long a connection may be silent: only the kernel knows what the other machine has acknowledged, and left alone it goes
//! on sending for a quarter of an hour, at intervals that double to two minutes, so that a line that was down for a minute
//! is not used for another one.

/// Has the kernel give up the TCP connection `descriptor` once nothing that was sent has been acknowledged for so long, or,
/// where keepalive is on, none of its questions. False where it cannot.
#[cfg(target_os = "linux")]
pub fn give_up_after(descriptor: i32, timeout_ms: u32) -> bool {
    let (value, length) = (timeout_ms as libc::c_int, std::mem::size_of::<libc::c_int>() as libc::socklen_t);
    // SAFETY: the kernel reads `length` bytes at the pointer, during the call only; a number that is no socket is an error.
    let result = unsafe { libc::setsockopt(descriptor, libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, std::ptr::from_ref(&value).cast(), length) };
    result == 0
}

#[cfg(not(target_os = "linux"))]
pub fn give_up_after(_descriptor: i32, _timeout_ms: u32) -> bool {
    false
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::give_up_after;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;

    #[test]
    fn a_connection_has_it_and_what_is_none_is_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert!(give_up_after(stream.as_raw_fd(), 5_000));
        let (mut value, mut length) = (0 as libc::c_int, std::mem::size_of::<libc::c_int>() as libc::socklen_t);
        // SAFETY: the kernel writes at most `length` bytes to `value`.
        let result = unsafe { libc::getsockopt(stream.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, std::ptr::from_mut(&mut value).cast(), &mut length) };
        assert_eq!((result, value), (0, 5_000));
        assert!(!give_up_after(-1, 5_000));
    }
}

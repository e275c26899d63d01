//! Logins that go wrong. Each attempt ends with an error; none hangs, none fills the memory.

use super::peer::{Peer, error, greeting, lying, message, ready};
use crate::postgres::Error;

async fn refusal(login: &[u8]) -> Error {
    let peer = Peer::listen().await;
    let (connection, _stream, _ear) = peer.dial(login).await;
    match connection {
        Err(error) => error,
        Ok(_) => panic!("it should not have connected"),
    }
}

#[tokio::test]
async fn an_end_after_any_byte_of_the_login_is_a_loss() {
    let whole = greeting();
    for cut in 0..whole.len() {
        let error = refusal(&whole[..cut]).await;
        assert!(matches!(error, Error::Lost | Error::System(_)), "after {cut} bytes: {error:?}");
    }
}

#[tokio::test]
async fn rubbish_is_told_from_a_login() {
    let rubbish: [&[u8]; 6] = [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"220 mail.example.test ESMTP\r\n",
        &[0; 64],
        &[0xff; 64],
        b"\x15\x03\x01\x00\x02\x02\x0a",
    ];
    for bytes in rubbish {
        let error = refusal(bytes).await;
        assert!(matches!(error, Error::Protocol(_)), "{}: {error:?}", String::from_utf8_lossy(bytes));
    }
}

#[tokio::test]
async fn broken_messages_of_the_login_are_breaches_of_protocol() {
    let ok = message(b'R', &[0; 4]);
    let broken = [
        message(b'R', b""),
        message(b'R', &[0, 0, 0, 99]),
        message(b'R', &[0, 0, 0, 5, 1]),
        message(b'R', &[0, 0, 0, 11]),
        [ok.clone(), message(b'K', &[1, 2, 3])].concat(),
        [ok.clone(), message(b'S', b"no end")].concat(),
        [ok.clone(), message(b'T', b"")].concat(),
        [ok.clone(), lying(b'S', 0x7fff_ffff, b"")].concat(),
        [ok.clone(), lying(b'S', 3, b"")].concat(),
        [ok.clone(), message(b'v', &[0; 8])].concat(),
        [ok, message(b'E', b"Mno end")].concat(),
    ];
    for bytes in broken {
        let error = refusal(&bytes).await;
        assert!(!matches!(error, Error::Lost | Error::System(_)), "{bytes:?}: {error:?}");
    }
}

#[tokio::test]
async fn an_error_of_the_login_is_the_reason() {
    let ok = message(b'R', &[0; 4]);
    for bytes in [error("FATAL", "28P01"), [ok, error("FATAL", "28P01")].concat()] {
        match refusal(&bytes).await {
            Error::Database(error) => assert_eq!(error.code.as_str(), "28P01"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_login_without_end_is_left() {
    let setting = message(b'S', &[b"name\0".as_slice(), &b"x".repeat(60_000), b"\0"].concat());
    let login = [message(b'R', &[0; 4]), setting.repeat(40), ready()].concat();
    assert!(matches!(refusal(&login).await, Error::Protocol(_)));
}

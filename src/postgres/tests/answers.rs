//! Answers that go wrong: an error, an end, a false length, in each message position. In every case the query
//! is settled once, the end of the connection is reported once, and success is reported only for a whole
//! answer.

use std::sync::{Arc, atomic::Ordering};

use tokio::{io::AsyncWriteExt, net::TcpStream};

use super::peer::{
    Asked, Ear, Peer, answer, ask, ask_flight, description, error, lying, message, read_query, ready, row,
    soon,
};
use crate::postgres::{Connection, Error, Outcome};

async fn asked(peer: &Peer) -> (Arc<Connection>, TcpStream, Arc<Ear>, Asked) {
    let (connection, mut stream, ear) = peer.connected().await;
    let asked = ask(&connection, "select word");
    soon(read_query(&mut stream)).await;
    (connection, stream, ear, asked)
}

/// The server sends `bytes` as its answer and closes.
async fn outcome_of(peer: &Peer, bytes: &[u8]) -> (Outcome, Vec<String>) {
    let (_connection, mut stream, ear, asked) = asked(peer).await;
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    let (outcome, heard) = asked.outcome().await;
    soon(async {
        while ear.closed.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(stream);
    tokio::task::yield_now().await;
    assert_eq!(ear.closed.load(Ordering::SeqCst), 1, "the end is told once");
    assert_eq!(heard.lock().settled, 1);
    let tags = heard.lock().tags.clone();
    (outcome, tags)
}

#[tokio::test]
async fn a_whole_answer_is_a_success() {
    let peer = Peer::listen().await;
    let (_connection, mut stream, ear, asked) = asked(&peer).await;
    stream.write_all(&answer().concat()).await.unwrap();
    let (outcome, heard) = asked.outcome().await;
    assert!(matches!(outcome, Outcome::Done(_)));
    let heard = heard.lock();
    assert_eq!((heard.rows, heard.tags.clone()), (2, vec!["SELECT 2".to_owned()]));
    assert_eq!(ear.closed.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_error_in_each_position_fails_the_query_and_spares_the_connection() {
    let peer = Peer::listen().await;
    for position in 0..answer().len() {
        let (connection, mut stream, ear, first) = asked(&peer).await;
        let mut bytes = answer()[..position].concat();
        bytes.extend(error("ERROR", "22012"));
        bytes.extend(ready());
        stream.write_all(&bytes).await.unwrap();
        match first.outcome().await.0 {
            Outcome::Failed { error: Error::Database(error), sent: true, status: Some(_) } => {
                assert_eq!(error.code.as_str(), "22012");
            }
            other => panic!("position {position}: {other:?}"),
        }
        let second = ask(&connection, "select again");
        soon(read_query(&mut stream)).await;
        stream.write_all(&answer().concat()).await.unwrap();
        assert!(matches!(second.outcome().await.0, Outcome::Done(_)), "position {position}");
        assert_eq!(ear.closed.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test]
async fn a_fatal_error_in_each_position_ends_the_connection_with_its_reason() {
    let peer = Peer::listen().await;
    for position in 0..answer().len() {
        let bytes = [answer()[..position].concat(), error("FATAL", "57P01")].concat();
        match outcome_of(&peer, &bytes).await.0 {
            Outcome::Failed { error: Error::Database(error), sent: true, status: None } => {
                assert_eq!(error.code.as_str(), "57P01");
            }
            other => panic!("position {position}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn an_end_after_any_byte_is_a_loss_and_never_a_success() {
    let peer = Peer::listen().await;
    let bytes = answer().concat();
    for cut in 0..bytes.len() {
        match outcome_of(&peer, &bytes[..cut]).await.0 {
            Outcome::Failed { error: Error::Lost, sent: true, status: None } => {}
            other => panic!("after {cut} bytes: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_wrong_length_in_each_message_is_never_a_success() {
    let peer = Peer::listen().await;
    for position in 0..answer().len() {
        let honest = answer();
        let body = honest[position][5..].to_vec();
        let length = i32::try_from(body.len() + 4).unwrap();
        for wrong in [i32::MIN, -1, 0, 3, length - 1, length + 1, length + 1000, 0x3fff_ffff, i32::MAX] {
            let mut messages = answer();
            messages[position] = lying(honest[position][0], wrong, &body);
            let (outcome, _) = outcome_of(&peer, &messages.concat()).await;
            assert!(
                matches!(outcome, Outcome::Failed { sent: true, .. }),
                "{position}, {wrong}: {outcome:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_message_out_of_place_is_a_breach_of_protocol() {
    let peer = Peer::listen().await;
    let rows = answer()[..5].concat();
    let cases: [(&str, Vec<u8>); 11] = [
        ("the end without a result", ready()),
        ("a row without a description", [message(b'1', b""), message(b'2', b""), row(b"x")].concat()),
        ("rows without a tag", [rows.clone(), ready()].concat()),
        (
            "a second result without a tag",
            [answer()[..6].concat(), answer()[1..5].concat(), ready()].concat(),
        ),
        ("a row behind the tag", [answer()[..6].concat(), row(b"x")].concat()),
        ("columns between rows", [rows.clone(), description()].concat()),
        ("no columns between rows", [rows, message(b'n', b""), ready()].concat()),
        ("an unknown tag", message(b'?', b"")),
        ("a status nobody knows", [answer()[..6].concat(), message(b'Z', b"?")].concat()),
        ("a status of two letters", [answer()[..6].concat(), message(b'Z', b"II")].concat()),
        ("an authentication in the middle", [answer()[..3].concat(), message(b'R', &[0; 4])].concat()),
    ];
    for (name, bytes) in cases {
        let (outcome, _) = outcome_of(&peer, &bytes).await;
        assert!(
            matches!(outcome, Outcome::Failed { error: Error::Protocol(_), sent: true, .. }),
            "{name}: {outcome:?}"
        );
    }
}

/// The answer to a statement of a flight: with rows, or without.
fn part(tag: &str, has_rows: bool) -> Vec<u8> {
    let tag = message(b'C', format!("{tag}\0").as_bytes());
    let begun = [message(b'1', b""), message(b'2', b"")].concat();
    let result = if has_rows { [description(), row(b"x")].concat() } else { message(b'n', b"") };
    [begun, result, tag].concat()
}

async fn flown(peer: &Peer) -> (Arc<Connection>, TcpStream, Asked) {
    let (connection, mut stream, _) = peer.connected().await;
    let asked = ask_flight(&connection, &["begin", "select one"], "select two");
    soon(read_query(&mut stream)).await;
    (connection, stream, asked)
}

#[tokio::test]
async fn a_flight_is_one_exchange_with_the_results_of_its_statements() {
    let peer = Peer::listen().await;
    let (connection, mut stream, asked) = flown(&peer).await;
    let answers = [part("BEGIN", false), part("SELECT 1", true), part("SELECT 1", true), ready()];
    stream.write_all(&answers.concat()).await.unwrap();
    let (outcome, heard) = asked.outcome().await;
    assert!(matches!(outcome, Outcome::Done(_)));
    let heard = heard.lock();
    assert_eq!((heard.rows, heard.tags.join(",")), (2, "BEGIN,SELECT 1,SELECT 1".to_owned()));
    assert!(connection.is_quiet());
}

#[tokio::test]
async fn an_error_in_a_flight_leaves_the_results_before_it_and_no_others() {
    let peer = Peer::listen().await;
    for answered in 0..3 {
        let (connection, mut stream, asked) = flown(&peer).await;
        let mut bytes: Vec<u8> = (0..answered).flat_map(|_| part("SELECT 1", true)).collect();
        bytes.extend(error("ERROR", "22012"));
        bytes.extend(ready());
        stream.write_all(&bytes).await.unwrap();
        let (outcome, heard) = asked.outcome().await;
        assert!(matches!(outcome, Outcome::Failed { sent: true, status: Some(_), .. }), "{outcome:?}");
        assert_eq!(heard.lock().tags.len(), answered);
        assert!(connection.is_quiet());
    }
}

#[tokio::test]
async fn a_flight_that_ends_before_its_last_result_is_never_a_success() {
    let peer = Peer::listen().await;
    for answered in 0..3 {
        let (_connection, mut stream, asked) = flown(&peer).await;
        let mut bytes: Vec<u8> = (0..answered).flat_map(|_| part("SELECT 1", true)).collect();
        bytes.extend(ready());
        stream.write_all(&bytes).await.unwrap();
        let (outcome, _) = asked.outcome().await;
        assert!(matches!(outcome, Outcome::Failed { error: Error::Protocol(_), .. }), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_row_behind_an_error_is_nobodys() {
    let peer = Peer::listen().await;
    let bytes = [answer()[..4].concat(), error("ERROR", "22012"), row(b"x"), ready()].concat();
    let (_connection, mut stream, ear, asked) = asked(&peer).await;
    stream.write_all(&bytes).await.unwrap();
    match asked.outcome().await.0 {
        Outcome::Failed { error: Error::Database(error), sent: true, status: None } => {
            assert_eq!(error.code.as_str(), "22012");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(ear.closed.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_comes_unasked_is_not_taken_for_the_next_answer() {
    let peer = Peer::listen().await;
    let (connection, mut stream, _ear, first) = asked(&peer).await;
    stream.write_all(&[answer().concat(), answer()[1..].concat()].concat()).await.unwrap();
    assert!(matches!(first.outcome().await.0, Outcome::Done(_)));
    let second = ask(&connection, "select other");
    assert!(matches!(second.outcome().await.0, Outcome::Failed { .. }));
}

#[tokio::test]
async fn a_taken_name_of_ours_is_told_of_and_heals() {
    let peer = Peer::listen().await;
    let (connection, mut stream, ear, first) = asked(&peer).await;
    let taken = [error("ERROR", "42P05"), ready()].concat();
    stream.write_all(&taken).await.unwrap();
    soon(read_query(&mut stream)).await;
    stream.write_all(&answer().concat()).await.unwrap();
    assert!(matches!(first.outcome().await.0, Outcome::Done(_)));
    assert_eq!(ear.names_taken.load(Ordering::SeqCst), 1);

    // Statements have no names any more: now it can only be an error of the user.
    let second = ask(&connection, "select other");
    stream.write_all(&taken).await.unwrap();
    assert!(matches!(second.outcome().await.0, Outcome::Failed { .. }));
    assert_eq!(ear.names_taken.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_stale_statement_that_is_given_up_does_not_run_again() {
    let peer = Peer::listen().await;
    let (connection, mut stream, ear, first) = asked(&peer).await;
    stream.write_all(&answer().concat()).await.unwrap();
    assert!(matches!(first.outcome().await.0, Outcome::Done(_)));
    let second = ask(&connection, "select word");
    soon(read_query(&mut stream)).await;
    *ear.unwanted.lock() = Some(Arc::clone(&connection));
    let notice = message(b'N', b"SNOTICE\0VNOTICE\0C00000\0Mscripted\0\0");
    stream.write_all(&[notice, error("ERROR", "26000"), ready()].concat()).await.unwrap();
    let (outcome, heard) = second.outcome().await;
    assert!(matches!(outcome, Outcome::Failed { .. }), "{outcome:?}");
    assert_eq!(heard.lock().settled, 1);
    assert!(connection.is_quiet());
}

#[tokio::test]
async fn a_cancel_request_that_came_before_its_statement_is_repeated() {
    let peer = Peer::listen().await;
    let (connection, mut stream, _ear, asked) = asked(&peer).await;
    assert!(connection.give_up(1, Error::Withdrawn));
    peer.cancelled().await;
    peer.cancelled().await;
    stream.write_all(&[error("ERROR", "57014"), ready()].concat()).await.unwrap();
    let more = async {
        loop {
            peer.cancelled().await;
        }
    };
    let (outcome, _) = tokio::select! {
        () = more => unreachable!(),
        outcome = asked.outcome() => outcome,
    };
    assert!(matches!(outcome, Outcome::Failed { sent: true, .. }), "{outcome:?}");
    assert!(connection.is_quiet());
}

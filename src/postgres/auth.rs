//! Authentication: cleartext, md5, SCRAM-SHA-256 with or without channel binding.
//!
//! The password is asked for when the server wants one, never before. Error messages are pg's.

use std::io;

use fallible_iterator::FallibleIterator;
use postgres_protocol::{
    authentication::{
        md5_hash,
        sasl::{ChannelBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256},
    },
    message::{backend::Message, frontend},
};

use super::{Config, Error, LoginStep, Password, startup::Startup};

/// The longest password that a server takes in clear text.
const MAX_PASSWORD: usize = 64 * 1024;
/// The most rounds of SHA-256 on the I/O thread, about a millisecond of them. More are computed by a thread
/// of their own, so that others are served meanwhile. The usual 4096 iterations are more.
const ROUNDS_IN_PASSING: u64 = 10_000;
const FIRST: &str = "SASL: SCRAM-SERVER-FIRST-MESSAGE:";

/// Answers the server's requests until it is satisfied.
pub(super) async fn authenticate(startup: &mut Startup, config: &Config) -> Result<(), Error> {
    loop {
        match startup.next().await? {
            Message::AuthenticationOk => {
                startup.report(|length| LoginStep::Accepted { length });
                return Ok(());
            }
            Message::AuthenticationCleartextPassword => {
                startup.report(|length| LoginStep::Cleartext { length });
                let password = password(config).await?.unwrap_or_default();
                send_password(startup, password.as_bytes()).await?;
            }
            Message::AuthenticationMd5Password(body) => {
                startup.report(|length| LoginStep::Md5 { length, salt: body.salt() });
                let password = password(config).await?.unwrap_or_default();
                let hash = md5_hash(config.user.as_bytes(), password.as_bytes(), body.salt());
                send_password(startup, hash.as_bytes()).await?;
            }
            Message::AuthenticationSasl(body) => {
                let mechanisms: Vec<String> =
                    body.mechanisms().map(|name| Ok(name.to_owned())).collect().map_err(|_| malformed())?;
                scram(startup, config, &mechanisms).await?;
            }
            Message::ErrorResponse(_) => return Err(startup.server_error()),
            _ => {
                return Err(Error::protocol(
                    "the server asks for an authentication method that is not supported",
                ));
            }
        }
    }
}

async fn password(config: &Config) -> Result<Option<String>, Error> {
    match &config.password {
        Password::Known(password) => Ok(Some(password.clone())),
        Password::Ask(someone) => someone.ask().await,
    }
}

async fn send_password(startup: &mut Startup, password: &[u8]) -> Result<(), Error> {
    startup.send(|out| frontend::password_message(password, out)).await
}

fn malformed() -> Error {
    Error::protocol("received a malformed authentication message")
}

async fn scram(startup: &mut Startup, config: &Config, mechanisms: &[String]) -> Result<(), Error> {
    let offers = |name: &str| mechanisms.iter().any(|mechanism| mechanism == name);
    let end_point = if config.channel_binding { startup.server_end_point() } else { None };
    let (mechanism, binding) = match end_point {
        Some(hash) if offers(SCRAM_SHA_256_PLUS) => {
            (SCRAM_SHA_256_PLUS, ChannelBinding::tls_server_end_point(hash))
        }
        Some(_) => (SCRAM_SHA_256, ChannelBinding::unrequested()),
        None => (SCRAM_SHA_256, ChannelBinding::unsupported()),
    };
    startup.report(|length| LoginStep::Sasl { length, mechanisms: mechanisms.to_vec(), mechanism });
    if !offers(mechanism) {
        return Err(Error::Plain(
            "SASL: Only mechanism(s) SCRAM-SHA-256 and SCRAM-SHA-256-PLUS are currently supported".into(),
        ));
    }
    let password = match password(config).await? {
        None => return Err(Error::Plain(format!("{FIRST} client password must be a string"))),
        Some(password) if password.is_empty() => {
            return Err(Error::Plain(format!("{FIRST} client password must be a non-empty string")));
        }
        Some(password) if password.len() > MAX_PASSWORD => {
            return Err(Error::Plain(format!("{FIRST} client password is longer than {MAX_PASSWORD} bytes")));
        }
        Some(password) => password,
    };
    let scram = ScramSha256::new(password.as_bytes(), binding);
    startup.send(|out| frontend::sasl_initial_response(mechanism, scram.message(), out)).await?;

    let Message::AuthenticationSaslContinue(body) = startup.next_or_error().await? else {
        return Err(malformed());
    };
    startup.report(|length| LoginStep::SaslContinue { length, data: text(body.data()) });
    let iterations = check_iterations(body.data(), config.scram_max_iterations)?;
    let rounds = iterations.saturating_mul(4 + password.len() as u64 / 64);
    let mut scram =
        prove(scram, body.data(), rounds).await.map_err(|error| Error::Plain(format!("{FIRST} {error}")))?;
    startup.send(|out| frontend::sasl_response(scram.message(), out)).await?;

    let Message::AuthenticationSaslFinal(body) = startup.next_or_error().await? else {
        return Err(malformed());
    };
    startup.report(|length| LoginStep::SaslFinal { length, data: text(body.data()) });
    scram
        .finish(body.data())
        .map_err(|_| Error::Plain("SASL: SCRAM-SERVER-FINAL-MESSAGE: server signature does not match".into()))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Computes the proof, which takes so many rounds of SHA-256.
async fn prove(mut scram: ScramSha256, first: &[u8], rounds: u64) -> io::Result<ScramSha256> {
    if rounds <= ROUNDS_IN_PASSING {
        scram.update(first)?;
        return Ok(scram);
    }
    let first = first.to_vec();
    tokio::task::spawn_blocking(move || scram.update(&first).map(|()| scram)).await?
}

/// The iterations that the server asks for. Billions of them would take minutes.
fn check_iterations(first: &[u8], max: u32) -> Result<u64, Error> {
    let iterations = std::str::from_utf8(first)
        .ok()
        .and_then(|text| text.split(',').find_map(|part| part.strip_prefix("i=")))
        .and_then(|count| count.parse::<u64>().ok())
        .ok_or_else(|| Error::Plain(format!("{FIRST} iteration missing")))?;
    if max != 0 && iterations > u64::from(max) {
        return Err(Error::Plain(format!(
            "{FIRST} iteration count {iterations} exceeds scramMaxIterations of {max}"
        )));
    }
    Ok(iterations)
}

//! Authentication: cleartext, md5, SCRAM-SHA-256 with or without channel binding.
//!
//! The password is asked for when the server wants one, never before. Error messages are pg's.

use std::sync::Arc;

use fallible_iterator::FallibleIterator;
use postgres_protocol::{
    authentication::md5_hash,
    message::{backend::Message, frontend},
};

use super::{
    Config, Error, LoginStep, Password,
    channel_binding::server_end_point,
    require_auth::AuthMethod,
    scram::{Challenge, ChannelBinding, Proof, SaltedPassword, Scram},
    startup::Startup,
};

const SCRAM_SHA_256: &str = "SCRAM-SHA-256";
const SCRAM_SHA_256_PLUS: &str = "SCRAM-SHA-256-PLUS";

/// The longest password that a server takes in clear text.
const MAX_PASSWORD: usize = 64 * 1024;
/// The most iterations on the I/O thread, less than a millisecond of them. More are computed by a thread of their
/// own, so that others are served meanwhile. The usual 4096 are more.
const ITERATIONS_IN_PASSING: u64 = 2_000;
const FIRST: &str = "SASL: SCRAM-SERVER-FIRST-MESSAGE:";

/// Answers the server's requests until it is satisfied.
pub(super) async fn authenticate(startup: &mut Startup, config: &Config) -> Result<(), Error> {
    let check = |method| config.require_auth.as_ref().map_or(Ok(()), |required| required.check(method));
    // Nothing has been proved so far.
    let mut done = AuthMethod::None;
    loop {
        match startup.next().await? {
            Message::AuthenticationOk => {
                check(done)?;
                startup.report(|length| LoginStep::Accepted { length });
                return Ok(());
            }
            Message::AuthenticationCleartextPassword => {
                done = AuthMethod::Password;
                check(done)?;
                startup.report(|length| LoginStep::Cleartext { length });
                let password = password(config).await?.unwrap_or_default();
                send_password(startup, password.as_bytes()).await?;
            }
            Message::AuthenticationMd5Password(body) => {
                done = AuthMethod::Md5;
                check(done)?;
                startup.report(|length| LoginStep::Md5 { length, salt: body.salt() });
                let password = password(config).await?.unwrap_or_default();
                let hash = md5_hash(config.user.as_bytes(), password.as_bytes(), body.salt());
                send_password(startup, hash.as_bytes()).await?;
            }
            Message::AuthenticationSasl(body) => {
                done = AuthMethod::ScramSha256;
                check(done)?;
                let mechanisms: Vec<String> =
                    body.mechanisms().map(|name| Ok(name.to_owned())).collect().map_err(|_| malformed())?;
                scram(startup, config, &mechanisms).await?;
            }
            Message::ErrorResponse(_) => return Err(startup.server_error()),
            _ => {
                check(AuthMethod::Other)?;
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
    let (mechanism, binding) = match (config.channel_binding, offers(SCRAM_SHA_256_PLUS)) {
        (true, true) => (SCRAM_SHA_256_PLUS, ChannelBinding::ServerEndPoint(end_point(startup)?)),
        (true, false) => (SCRAM_SHA_256, ChannelBinding::Unrequested),
        (false, _) => (SCRAM_SHA_256, ChannelBinding::Unsupported),
    };
    startup.report(|length| LoginStep::Sasl { length, mechanisms: mechanisms.to_vec(), mechanism });
    if !offers(mechanism) {
        let known =
            if config.channel_binding { "SCRAM-SHA-256-PLUS and SCRAM-SHA-256" } else { SCRAM_SHA_256 };
        return Err(Error::Plain(format!("SASL: Only mechanism(s) {known} are supported")));
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
    let scram = Scram::new(binding).map_err(Error::Plain)?;
    let message = scram.message();
    startup.send(|out| frontend::sasl_initial_response(mechanism, message.as_bytes(), out)).await?;

    let Message::AuthenticationSaslContinue(body) = startup.next_or_error().await? else {
        return Err(malformed());
    };
    startup.report(|length| LoginStep::SaslContinue { length, data: text(body.data()) });
    let challenge = scram.challenge(body.data(), config.scram_max_iterations).map_err(Error::Plain)?;
    let proof = prove(challenge, password, config).await?;
    startup.send(|out| frontend::sasl_response(proof.message.as_bytes(), out)).await?;

    let Message::AuthenticationSaslFinal(body) = startup.next_or_error().await? else {
        return Err(malformed());
    };
    startup.report(|length| LoginStep::SaslFinal { length, data: text(body.data()) });
    proof.check(body.data()).map_err(Error::Plain)
}

fn end_point(startup: &Startup) -> Result<Vec<u8>, Error> {
    let certificate = startup.server_certificate().filter(|der| !der.is_empty()).ok_or_else(|| {
        Error::Plain(format!("SASL: Mechanism {SCRAM_SHA_256_PLUS} requires a certificate"))
    })?;
    server_end_point(certificate).map_err(Error::Plain)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Proves that the password is known, by what an earlier login of the pool has computed where there was one. A login that
/// is given up stops the computation.
async fn prove(challenge: Challenge, password: String, config: &Config) -> Result<Proof, Error> {
    let challenge = Arc::new(challenge);
    let compute = || salted(Arc::clone(&challenge), password.clone());
    let salted = config.salted_passwords.get(&challenge, &password, compute).await?;
    Ok(Arc::unwrap_or_clone(challenge).prove(&salted))
}

async fn salted(challenge: Arc<Challenge>, password: String) -> Result<SaltedPassword, Error> {
    let salted = if challenge.iterations.get() <= ITERATIONS_IN_PASSING {
        challenge.salted(&password, || true)
    } else {
        let waiting = Arc::new(());
        let watch = Arc::downgrade(&waiting);
        let is_wanted = move || watch.strong_count() > 0;
        let salted = tokio::task::spawn_blocking(move || challenge.salted(&password, is_wanted)).await;
        drop(waiting);
        salted.ok().flatten()
    };
    salted.ok_or(Error::Ended)
}

//! SCRAM-SHA-256 of a client (RFC 5802 and 7677): its messages, and the checks of the server's. It knows nothing of
//! connections. Messages of errors are pg's.
//!
//! Not that of `postgres-protocol`, which refuses more than 100000 iterations whatever the user allows.

use std::num::NonZeroU64;

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::{
    digest,
    hmac::{HMAC_SHA256, Key, Tag, sign, verify},
    rand::{SecureRandom, SystemRandom},
};

const FIRST: &str = "SASL: SCRAM-SERVER-FIRST-MESSAGE:";
const FINAL: &str = "SASL: SCRAM-SERVER-FINAL-MESSAGE:";
const NONCE_BYTES: usize = 18;
/// Iterations between two looks whether the salted password is still wanted, a few milliseconds of them.
const ITERATIONS_BETWEEN_LOOKS: u64 = 10_000;

/// The binding of a login to its TLS connection.
pub(super) enum ChannelBinding {
    /// The client does none.
    Unsupported,
    /// The client does, but the server has offered none.
    Unrequested,
    /// The hash of the server's certificate.
    ServerEndPoint(Vec<u8>),
}

impl ChannelBinding {
    const fn header(&self) -> &'static str {
        match self {
            Self::Unsupported => "n,,",
            Self::Unrequested => "y,,",
            Self::ServerEndPoint(_) => "p=tls-server-end-point,,",
        }
    }

    fn data(&self) -> &[u8] {
        match self {
            Self::Unsupported | Self::Unrequested => &[],
            Self::ServerEndPoint(hash) => hash,
        }
    }
}

/// A login that has begun.
pub(super) struct Scram {
    binding: ChannelBinding,
    nonce: String,
}

impl Scram {
    pub(super) fn new(binding: ChannelBinding) -> Result<Self, String> {
        let mut nonce = [0; NONCE_BYTES];
        SystemRandom::new().fill(&mut nonce).map_err(|_| "SASL: the system has no random numbers")?;
        Ok(Self { binding, nonce: STANDARD.encode(nonce) })
    }

    fn bare_message(&self) -> String {
        format!("n=,r={}", self.nonce)
    }

    /// The client's first message.
    pub(super) fn message(&self) -> String {
        format!("{}{}", self.binding.header(), self.bare_message())
    }

    /// Reads the server's first message; `max_iterations` of 0 allows any number.
    pub(super) fn challenge(self, message: &[u8], max_iterations: u32) -> Result<Challenge, String> {
        let text = std::str::from_utf8(message).map_err(|_| format!("{FIRST} it is not text"))?;
        let attributes = Attributes::read(text)?;
        let nonce = attributes.get('r').ok_or_else(|| format!("{FIRST} nonce missing"))?;
        if !nonce.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!("{FIRST} nonce must only contain printable characters"));
        }
        let salt = attributes.get('s').ok_or_else(|| format!("{FIRST} salt missing"))?;
        let salt = STANDARD.decode(salt).map_err(|_| format!("{FIRST} salt must be base64"))?;
        let count = attributes.get('i').ok_or_else(|| format!("{FIRST} iteration missing"))?;
        let iterations = iterations(count).ok_or_else(|| format!("{FIRST} invalid iteration count"))?;
        if !nonce.starts_with(&self.nonce) {
            return Err(format!("{FIRST} server nonce does not start with client nonce"));
        }
        if nonce.len() == self.nonce.len() {
            return Err(format!("{FIRST} server nonce is too short"));
        }
        if max_iterations != 0 && iterations.get() > u64::from(max_iterations) {
            return Err(format!(
                "{FIRST} iteration count {count} exceeds scramMaxIterations of {max_iterations}"
            ));
        }
        let header = [self.binding.header().as_bytes(), self.binding.data()].concat();
        let answer = format!("c={},r={nonce}", STANDARD.encode(header));
        let signed = format!("{},{text},{answer}", self.bare_message());
        Ok(Challenge { salt, iterations, answer, signed })
    }
}

/// What the server wants to have proved.
#[derive(Clone)]
pub(super) struct Challenge {
    pub(super) salt: Vec<u8>,
    pub(super) iterations: NonZeroU64,
    /// The client's last message, its proof left out.
    answer: String,
    /// The text that both sides sign.
    signed: String,
}

/// What a login proves to know, computed from the password, the salt and the count of iterations. As good as the password
/// to whoever gets hold of it.
#[derive(Clone)]
pub(super) struct SaltedPassword(pub(super) Key);

impl Challenge {
    #[cfg(test)]
    pub(super) fn asking_for(salt: &[u8], iterations: NonZeroU64) -> Self {
        Self { salt: salt.into(), iterations, answer: String::new(), signed: String::new() }
    }

    /// The salted password; none: it is not `is_wanted` any longer. Takes long.
    pub(super) fn salted(&self, password: &str, is_wanted: impl Fn() -> bool) -> Option<SaltedPassword> {
        let password = prepared(password);
        let salted = salted(password.as_bytes(), &self.salt, self.iterations, is_wanted)?;
        Some(SaltedPassword(Key::new(HMAC_SHA256, &salted)))
    }

    /// Proves that the password is known.
    pub(super) fn prove(self, SaltedPassword(salted): &SaltedPassword) -> Proof {
        let client_key = sign(salted, b"Client Key");
        let stored_key = digest::digest(&digest::SHA256, client_key.as_ref());
        let signature = sign(&Key::new(HMAC_SHA256, stored_key.as_ref()), self.signed.as_bytes());
        let mut proof = bytes(&client_key);
        add(&mut proof, &signature);
        let server_key = sign(salted, b"Server Key");
        Proof {
            message: format!("{},p={}", self.answer, STANDARD.encode(proof)),
            server_key: Key::new(HMAC_SHA256, server_key.as_ref()),
            signed: self.signed,
        }
    }
}

/// The client's proof, and what it takes to check the server's.
pub(super) struct Proof {
    /// The client's last message.
    pub(super) message: String,
    server_key: Key,
    signed: String,
}

impl Proof {
    /// Checks the server's last message, which shows that it knows the password, too.
    pub(super) fn check(&self, message: &[u8]) -> Result<(), String> {
        let text = std::str::from_utf8(message).map_err(|_| format!("{FINAL} it is not text"))?;
        let attributes = Attributes::read(text)?;
        if let Some(error) = attributes.get('e') {
            return Err(format!("{FINAL} server returned error: \"{error}\""));
        }
        let signature = attributes.get('v').ok_or_else(|| format!("{FINAL} server signature is missing"))?;
        let signature =
            STANDARD.decode(signature).map_err(|_| format!("{FINAL} server signature must be base64"))?;
        verify(&self.server_key, self.signed.as_bytes(), &signature)
            .map_err(|_| format!("{FINAL} server signature does not match"))
    }
}

/// The attributes of a message, `name=value`; of two with one name the last counts.
struct Attributes<'a>(Vec<(char, &'a str)>);

impl<'a> Attributes<'a> {
    fn read(text: &'a str) -> Result<Self, String> {
        let attribute = |part: &'a str| {
            let name = part.chars().next()?;
            let value = part[name.len_utf8()..].strip_prefix('=')?;
            Some((name, value))
        };
        let all: Option<Vec<_>> = text.split(',').map(attribute).collect();
        all.map(Self).ok_or_else(|| "SASL: Invalid attribute pair entry".to_owned())
    }

    /// An attribute that is there and not empty.
    fn get(&self, name: char) -> Option<&'a str> {
        let found = self.0.iter().rev().find(|(one, _)| *one == name);
        found.map(|(_, value)| *value).filter(|value| !value.is_empty())
    }
}

/// A number in plain decimal digits; one that is larger than any counts as the largest.
fn iterations(text: &str) -> Option<NonZeroU64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    is_plain.then(|| text.parse().unwrap_or(NonZeroU64::MAX))
}

/// The password as the server has prepared it: by RFC 4013, else as it is.
fn prepared(password: &str) -> std::borrow::Cow<'_, str> {
    match stringprep::saslprep(password) {
        Ok(prepared) if !prepared.is_empty() => prepared,
        _ => password.into(),
    }
}

/// PBKDF2 of RFC 8018, one block of it.
fn salted(
    password: &[u8],
    salt: &[u8],
    iterations: NonZeroU64,
    is_wanted: impl Fn() -> bool,
) -> Option<[u8; digest::SHA256_OUTPUT_LEN]> {
    let key = Key::new(HMAC_SHA256, password);
    let mut last = sign(&key, &[salt, &[0, 0, 0, 1]].concat());
    let mut sum = bytes(&last);
    for round in 1..iterations.get() {
        if round % ITERATIONS_BETWEEN_LOOKS == 0 && !is_wanted() {
            return None;
        }
        last = sign(&key, last.as_ref());
        add(&mut sum, &last);
    }
    Some(sum)
}

fn bytes(tag: &Tag) -> [u8; digest::SHA256_OUTPUT_LEN] {
    let mut bytes = [0; digest::SHA256_OUTPUT_LEN];
    bytes.copy_from_slice(tag.as_ref());
    bytes
}

fn add(sum: &mut [u8], tag: &Tag) {
    for (sum, byte) in sum.iter_mut().zip(tag.as_ref()) {
        *sum ^= byte;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677, whose client has the name `user`. PostgreSQL's have none.
    #[test]
    fn the_example_of_the_standard_is_proved_and_checked() {
        let first = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let challenge = Challenge {
            salt: STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap(),
            iterations: NonZeroU64::new(4096).unwrap(),
            answer: "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0".into(),
            signed: format!(
                "n=user,r=rOprNGfwEbeRWgbNEkqO,{first},c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
            ),
        };
        let salted = challenge.salted("pencil", || true).unwrap();
        let proof = challenge.prove(&salted);
        assert!(
            proof.message.ends_with(",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="),
            "{}",
            proof.message
        );
        assert!(proof.check(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=").is_ok());
        for (last, wanted) in [
            ("v=AAAA", "server signature does not match"),
            ("v=!", "server signature must be base64"),
            ("x=AAAA", "server signature is missing"),
            ("e=other-error", "server returned error: \"other-error\""),
        ] {
            assert_eq!(proof.check(last.as_bytes()), Err(format!("{FINAL} {wanted}")));
        }
    }

    #[test]
    fn a_first_message_that_makes_no_sense_is_refused_in_the_words_of_pg() {
        let challenge = |message: &str, max| {
            let scram = Scram { binding: ChannelBinding::Unsupported, nonce: "mine".into() };
            scram.challenge(message.as_bytes(), max).map(|challenge| challenge.iterations.get())
        };
        for (message, wanted) in [
            ("r=,s=AAAA,i=4096", "nonce missing"),
            ("r=mine\u{7f},s=AAAA,i=4096", "nonce must only contain printable characters"),
            ("r=minemore,i=4096", "salt missing"),
            ("r=minemore,s=!,i=4096", "salt must be base64"),
            ("r=minemore,s=AAAA", "iteration missing"),
            ("r=minemore,s=AAAA,i=0", "invalid iteration count"),
            ("r=minemore,s=AAAA,i=-1", "invalid iteration count"),
            ("r=minemore,s=AAAA,i=4096x", "invalid iteration count"),
            ("r=other,s=AAAA,i=4096", "server nonce does not start with client nonce"),
            ("r=mine,s=AAAA,i=4096", "server nonce is too short"),
            ("r=minemore,s=AAAA,i=100001", "iteration count 100001 exceeds scramMaxIterations of 100000"),
        ] {
            assert_eq!(challenge(message, 100_000), Err(format!("{FIRST} {wanted}")));
        }
        assert_eq!(challenge("rubbish", 1), Err("SASL: Invalid attribute pair entry".into()));
        assert_eq!(challenge("r=minemore,s=AAAA,i=100001", 100_001), Ok(100_001));
        assert_eq!(challenge("r=minemore,s=AAAA,i=99999999999999999999", 0), Ok(u64::MAX));
    }

    #[test]
    fn a_proof_that_nobody_waits_for_is_given_up() {
        let challenge = Challenge::asking_for(b"", NonZeroU64::MAX);
        assert!(challenge.salted("pencil", || false).is_none());
    }

    #[test]
    fn a_password_is_prepared_as_the_server_does_it() {
        assert_eq!(prepared("I\u{ad}X"), "IX");
        assert_eq!(prepared("\u{2168}"), "IX");
        // Nothing would be left, or a character is forbidden: as it is.
        assert_eq!(prepared("\u{ad}"), "\u{ad}");
        assert_eq!(prepared("a\u{7}\u{ad}"), "a\u{7}\u{ad}");
    }
}

//! Salted passwords of SCRAM, each computed once for all connections of a pool: PBKDF2 is most of what a login costs the
//! client. Connections that begin together wait for one computation.
//!
//! They live as long as the configuration of their pool, and are shown nowhere. One serves only the password, the salt
//! and the count that it was computed from; the passwords themselves are not kept, but signed with a random key.

use std::{num::NonZeroU64, sync::Arc};

use parking_lot::Mutex;
use ring::{
    digest::SHA256_OUTPUT_LEN,
    hmac::{HMAC_SHA256, Key, sign},
    rand::{SecureRandom, SystemRandom},
};
use tokio::sync::OnceCell;

use super::{
    Error,
    scram::{Challenge, SaltedPassword},
};

/// A pool meets one salt for its user, and further ones where its hosts are no copies of each other, or where the
/// password changes.
const KEPT: usize = 4;

/// The salted passwords of one pool.
#[derive(Default)]
pub struct SaltedPasswords(Mutex<State>);

#[derive(Default)]
struct State {
    key: Option<Key>,
    /// The one that was used last comes last.
    entries: Vec<Entry>,
}

struct Entry {
    source: Source,
    salted: Arc<OnceCell<SaltedPassword>>,
}

/// What a salted password is computed from.
#[derive(PartialEq, Eq)]
struct Source {
    /// The signature of the password.
    password: [u8; SHA256_OUTPUT_LEN],
    salt: Vec<u8>,
    iterations: NonZeroU64,
}

impl SaltedPasswords {
    /// The salted password that a challenge asks for; `compute` is called where nobody has computed it. A computation
    /// that fails or is dropped leaves it to the next one who asks.
    pub(super) async fn get<F>(
        &self,
        challenge: &Challenge,
        password: &str,
        compute: impl FnOnce() -> F,
    ) -> Result<SaltedPassword, Error>
    where
        F: Future<Output = Result<SaltedPassword, Error>>,
    {
        let salted = self.entry(challenge, password)?;
        salted.get_or_try_init(compute).await.cloned()
    }

    fn entry(&self, challenge: &Challenge, password: &str) -> Result<Arc<OnceCell<SaltedPassword>>, Error> {
        let mut state = self.0.lock();
        let source = Source {
            password: state.signature(password)?,
            salt: challenge.salt.clone(),
            iterations: challenge.iterations,
        };
        let entries = &mut state.entries;
        let entry = match entries.iter().position(|entry| entry.source == source) {
            Some(known) => entries.remove(known),
            None => Entry { source, salted: Arc::default() },
        };
        if entries.len() == KEPT {
            entries.remove(0);
        }
        let salted = Arc::clone(&entry.salted);
        entries.push(entry);
        Ok(salted)
    }
}

impl State {
    fn signature(&mut self, password: &str) -> Result<[u8; SHA256_OUTPUT_LEN], Error> {
        let key = match self.key.take() {
            Some(key) => key,
            None => random_key()?,
        };
        let mut signature = [0; SHA256_OUTPUT_LEN];
        signature.copy_from_slice(sign(&key, password.as_bytes()).as_ref());
        self.key = Some(key);
        Ok(signature)
    }
}

fn random_key() -> Result<Key, Error> {
    let mut bytes = [0; SHA256_OUTPUT_LEN];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| Error::Plain("SASL: the system has no random numbers".into()))?;
    Ok(Key::new(HMAC_SHA256, &bytes))
}

#[cfg(test)]
mod tests {
    use std::{
        future::{pending, ready},
        sync::atomic::{AtomicUsize, Ordering},
    };

    use tokio::task::yield_now;

    use super::*;

    fn challenge(salt: &str, iterations: u64) -> Challenge {
        Challenge::asking_for(salt.as_bytes(), NonZeroU64::new(iterations).unwrap())
    }

    /// Asks for each; returns how many were computed.
    async fn computed(passwords: &SaltedPasswords, asked: &[(&str, &str, u64)]) -> usize {
        let count = AtomicUsize::new(0);
        for (password, salt, iterations) in asked {
            let challenge = challenge(salt, *iterations);
            let compute = || {
                count.fetch_add(1, Ordering::Relaxed);
                ready(challenge.salted(password, || true).ok_or(Error::Ended))
            };
            let salted = passwords.get(&challenge, password, compute).await.unwrap();
            let wanted = challenge.salted(password, || true).unwrap();
            assert_eq!(sign(&salted.0, b"proof").as_ref(), sign(&wanted.0, b"proof").as_ref());
        }
        count.into_inner()
    }

    #[tokio::test]
    async fn one_password_with_one_salt_and_count_is_computed_once() {
        let passwords = SaltedPasswords::default();
        assert_eq!(computed(&passwords, &[("secret", "salt", 5); 10]).await, 1);
    }

    #[tokio::test]
    async fn another_password_salt_or_count_never_gets_the_key_of_an_earlier_one() {
        let passwords = SaltedPasswords::default();
        let asked =
            [("secret", "salt", 5), ("changed", "salt", 5), ("secret", "other", 5), ("secret", "salt", 6)];
        assert_eq!(computed(&passwords, &asked).await, 4);
        assert_eq!(computed(&passwords, &asked).await, 0);
    }

    #[tokio::test]
    async fn a_server_that_sends_ever_new_salts_fills_no_memory() {
        let passwords = SaltedPasswords::default();
        for number in 0..100 {
            assert_eq!(computed(&passwords, &[("secret", &number.to_string(), 1)]).await, 1);
        }
        assert_eq!(passwords.0.lock().entries.len(), KEPT);
    }

    #[tokio::test]
    async fn logins_that_begin_together_wait_for_one_computation_and_take_it_over_when_it_is_given_up() {
        let passwords = Arc::new(SaltedPasswords::default());
        let never = Arc::clone(&passwords);
        let given_up =
            tokio::spawn(async move { never.get(&challenge("salt", 5), "secret", pending).await.is_ok() });
        yield_now().await;
        let waiting = Arc::clone(&passwords);
        let successor = tokio::spawn(async move { computed(&waiting, &[("secret", "salt", 5); 2]).await });
        yield_now().await;
        assert!(!successor.is_finished());
        given_up.abort();
        assert_eq!(successor.await.unwrap(), 1);
    }

    #[tokio::test]
    async fn a_computation_that_fails_is_not_kept() {
        let passwords = SaltedPasswords::default();
        let failed = passwords.get(&challenge("salt", 5), "secret", || ready(Err(Error::Ended))).await;
        assert!(failed.is_err());
        assert_eq!(computed(&passwords, &[("secret", "salt", 5)]).await, 1);
    }
}

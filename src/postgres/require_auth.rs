//! The ways to authenticate that the user accepts, libpq's `require_auth`: names separated by commas, all of
//! them accepted, or all of them refused where each begins with `!`. Messages are libpq's.

use super::Error;

/// A way to authenticate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AuthMethod {
    None,
    Password,
    Md5,
    ScramSha256,
    /// One that libpq has and this client has not.
    Other,
}

const NAMES: [(&str, AuthMethod); 7] = [
    ("none", AuthMethod::None),
    ("password", AuthMethod::Password),
    ("md5", AuthMethod::Md5),
    ("scram-sha-256", AuthMethod::ScramSha256),
    ("gss", AuthMethod::Other),
    ("sspi", AuthMethod::Other),
    ("oauth", AuthMethod::Other),
];

/// The ways to authenticate that are accepted.
#[derive(Debug, Clone)]
pub struct RequireAuth {
    text: String,
    methods: Vec<AuthMethod>,
    is_negative: bool,
}

impl RequireAuth {
    /// Reads libpq's syntax.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut names = Vec::new();
        let mut methods = Vec::new();
        let is_negative = text.starts_with('!');
        for word in text.split(',') {
            let name = word.strip_prefix('!').unwrap_or(word);
            if word.starts_with('!') != is_negative {
                return Err(if is_negative {
                    format!("require_auth method \"{word}\" cannot be mixed with negative methods")
                } else {
                    format!(
                        "negative require_auth method \"{word}\" cannot be mixed with non-negative methods"
                    )
                });
            }
            let Some((_, method)) = NAMES.iter().find(|(one, _)| *one == name) else {
                return Err(format!("invalid require_auth value: \"{word}\""));
            };
            if names.contains(&name) {
                return Err(format!("require_auth method \"{word}\" is specified more than once"));
            }
            names.push(name);
            methods.push(*method);
        }
        Ok(Self { text: text.to_owned(), methods, is_negative })
    }

    /// Refuses a way to authenticate that is not accepted.
    pub(super) fn check(&self, method: AuthMethod) -> Result<(), Error> {
        if self.methods.contains(&method) != self.is_negative {
            return Ok(());
        }
        let reason = match method {
            AuthMethod::None => "server did not complete authentication",
            AuthMethod::Password => "server requested a cleartext password",
            AuthMethod::Md5 => "server requested a hashed password",
            AuthMethod::ScramSha256 => "server requested SASL authentication",
            AuthMethod::Other => "server requested an unknown authentication type",
        };
        Err(Error::Plain(format!("authentication method requirement \"{}\" failed: {reason}", self.text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_is_accepted_and_all_else_refused() {
        let required = RequireAuth::parse("scram-sha-256,md5").unwrap();
        assert!(required.check(AuthMethod::ScramSha256).is_ok());
        assert!(required.check(AuthMethod::Md5).is_ok());
        assert_eq!(
            required.check(AuthMethod::None).unwrap_err().to_string(),
            "authentication method requirement \"scram-sha-256,md5\" failed: server did not complete authentication"
        );
        assert!(required.check(AuthMethod::Password).is_err());
    }

    #[test]
    fn what_is_named_with_a_mark_is_refused_and_all_else_accepted() {
        let required = RequireAuth::parse("!password,!none").unwrap();
        assert!(required.check(AuthMethod::ScramSha256).is_ok());
        assert!(required.check(AuthMethod::Password).is_err());
        assert!(required.check(AuthMethod::None).is_err());
    }

    #[test]
    fn what_makes_no_sense_is_refused_in_the_words_of_libpq() {
        for (text, wanted) in [
            ("scram", "invalid require_auth value: \"scram\""),
            ("md5,", "invalid require_auth value: \"\""),
            ("md5,md5", "require_auth method \"md5\" is specified more than once"),
            ("md5,!none", "negative require_auth method \"!none\" cannot be mixed with non-negative methods"),
            ("!none,md5", "require_auth method \"md5\" cannot be mixed with negative methods"),
        ] {
            assert_eq!(RequireAuth::parse(text).unwrap_err(), wanted);
        }
    }
}

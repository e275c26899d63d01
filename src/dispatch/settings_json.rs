//! The settings of a tier as JavaScript sends them: read, checked, and put into our own types.
//!
//! The names are those of `docs/design/boundary.md`. As in pg, a time of 0 means "none". All problems are
//! reported at once.

use std::{sync::Arc, time::Duration};

use serde::Deserialize;

use super::{
    hosts::Hosts,
    policy::{AdaptivePolicy, Place, Policy},
    session_attrs::TargetSessionAttrs,
    settings::{Monitoring, NodeServices, Settings, SettingsError},
    shared_quotas::JsonQuota,
};
use crate::{
    pool,
    postgres::{
        AskPassword, Config, Host, KeepAlive, Password, RequireAuth, SaltedPasswords, TlsSettings,
        VerifyServer,
    },
    resilience::{Limits, Mode, RetryPolicy},
};

/// Keepalive probes of a tier: often enough that a dead peer is found within the user timeout.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);

/// A client that is leased for longer may have been forgotten.
const LEAK_AFTER: Duration = Duration::from_secs(30);

/// The tier of those who repair the database.
const ADMIN: &str = "admin";

impl Settings {
    /// Reads JSON. `passwords` is asked when the password is not among the settings.
    pub fn from_json(
        json: &str,
        passwords: impl FnOnce() -> Arc<dyn AskPassword>,
    ) -> Result<Self, SettingsError> {
        let settings: JsonSettings =
            serde_json::from_str(json).map_err(|error| unreadable("settings", &error))?;
        let problems = settings.problems();
        if !problems.is_empty() {
            return Err(SettingsError(problems));
        }
        Ok(settings.into_settings(passwords))
    }
}

fn unreadable(what: &str, error: &serde_json::Error) -> SettingsError {
    // The message of the parser may quote what it read, and with it a password.
    SettingsError(vec![format!(
        "the {what} cannot be read: {:?} at column {}",
        error.classify(),
        error.column()
    )])
}

/// Settings that may be changed while a tier runs.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Changes {
    /// The off switch of retries.
    pub retry: Option<bool>,
    /// What the breaker does.
    pub breaker: Option<JsonMode>,
    /// When it opens and probes.
    pub breaker_limits: Option<JsonLimits>,
    /// Whether a failed connect fails the request that waits longest.
    fail_fast: Option<bool>,
    /// Whether the tier is measured.
    pub measured: Option<bool>,
    /// The switch of adaptive limits.
    pub adaptive: Option<bool>,
    max: Option<f64>,
    min: Option<f64>,
    /// Closes the present connections: idle ones now, leased ones when they come back.
    #[serde(default)]
    pub retire: bool,
}

impl Changes {
    /// Reads JSON.
    pub fn from_json(json: &str) -> Result<Self, SettingsError> {
        let changes: Self = serde_json::from_str(json).map_err(|error| unreadable("changes", &error))?;
        let counts = [("max", changes.max, 1.0), ("min", changes.min, 0.0)];
        let mut problems: Vec<_> =
            counts.into_iter().filter_map(|(name, count, least)| too_small(name, count, least)).collect();
        problems.extend(changes.breaker_limits.iter().flat_map(JsonLimits::problems));
        if problems.is_empty() { Ok(changes) } else { Err(SettingsError(problems)) }
    }

    pub(super) fn of_pool(&self) -> pool::PoolChanges {
        pool::PoolChanges {
            max: self.max.map(to_usize),
            min: self.min.map(to_usize),
            fail_fast: self.fail_fast,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own in JavaScript")]
struct JsonSettings {
    tier: Option<String>,
    monitor: Option<bool>,
    hosts: Vec<JsonHost>,
    user: String,
    database: Option<String>,
    password: Option<String>,
    #[serde(default)]
    ask_password: bool,
    #[serde(default)]
    parameters: std::collections::BTreeMap<String, String>,
    tls: Option<JsonTls>,
    #[serde(default)]
    channel_binding: bool,
    scram_max_iterations: f64,
    require_auth: Option<String>,
    max: Option<f64>,
    min: Option<f64>,
    idle_timeout_millis: Option<Millis>,
    connection_timeout_millis: Option<Millis>,
    acquire_timeout_millis: Option<Millis>,
    validate_after_idle_millis: Option<Millis>,
    max_uses: Option<f64>,
    max_lifetime_seconds: Option<f64>,
    #[serde(default)]
    keep_alive: bool,
    keep_alive_initial_delay_millis: Option<Millis>,
    max_waiting: Option<f64>,
    statement_cache_size: f64,
    drain_timeout_millis: Option<Millis>,
    target_session_attrs: Option<String>,
    #[serde(default)]
    load_balance_hosts: bool,
    tcp_user_timeout_millis: Option<Millis>,
    slow_query_millis: Option<Millis>,
    /// Whether a failed connect fails the request that waits longest, as in pg.
    fail_fast: Option<bool>,
    budget: Option<JsonQuota>,
    #[serde(default)]
    pipeline: bool,
    /// Whether streams are opened by JavaScript.
    #[serde(default)]
    dial: bool,
    /// Whether names of hosts are resolved by JavaScript.
    #[serde(default)]
    lookup: bool,
    /// Whether JavaScript hears how each login goes.
    #[serde(default)]
    tell_login: bool,
    /// Retries after the first attempt; none or 0: no retry.
    retry_attempts: Option<f64>,
    retry_delay_millis: Option<f64>,
    /// The off switch.
    retry: Option<bool>,
    deadline_millis: Option<Millis>,
    breaker: Option<JsonBreaker>,
    /// Whether measuring is on from the start.
    measured: Option<bool>,
    /// The switch of adaptive limits.
    #[serde(default)]
    adaptive: bool,
    /// Whether an adaptive limit is for this tier.
    #[serde(default)]
    gives_way: bool,
    /// Whether warnings are written to standard error where `PGPOOL_LOG` is not set.
    #[serde(default)]
    logs_warnings: bool,
    /// A tier of `getPool`, with the enhanced defaults; else a pool as pg's.
    #[serde(default)]
    enhanced: bool,
}

#[derive(Deserialize)]
struct JsonHost {
    host: String,
    port: u16,
}

#[derive(Deserialize)]
struct JsonTls {
    ca: Option<Vec<String>>,
    #[serde(default, rename = "extraCa")]
    extra_ca: Vec<String>,
    cert: Option<String>,
    key: Option<String>,
    #[serde(rename = "rejectUnauthorized")]
    reject_unauthorized: Option<bool>,
    servername: Option<String>,
    #[serde(default)]
    direct: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonBreaker {
    mode: JsonMode,
    #[serde(flatten)]
    limits: JsonLimits,
}

/// The limits of a breaker; what is absent keeps its default.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JsonLimits {
    failure_rate: Option<f64>,
    minimum_calls: Option<f64>,
    window_millis: Option<f64>,
    failed_connects: Option<f64>,
    failing_millis: Option<f64>,
    first_probe_millis: Option<f64>,
    probe_millis: Option<f64>,
    long_probe_millis: Option<f64>,
}

/// The modes of a breaker by name.
#[derive(Debug, Deserialize, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
pub enum JsonMode {
    /// It counts nothing.
    Off,
    /// It stops nobody.
    Metrics,
    /// It does its work.
    Enforce,
    /// It stops everybody.
    ForcedOpen,
}

impl From<JsonMode> for Mode {
    fn from(value: JsonMode) -> Self {
        match value {
            JsonMode::Off => Self::Off,
            JsonMode::Metrics => Self::Metrics,
            JsonMode::Enforce => Self::Enforce,
            JsonMode::ForcedOpen => Self::ForcedOpen,
        }
    }
}

impl JsonLimits {
    fn problems(&self) -> Vec<String> {
        let least = [
            ("breaker.minimumCalls", self.minimum_calls, 1.0),
            ("breaker.failedConnects", self.failed_connects, 1.0),
            ("breaker.windowMillis", self.window_millis, 1.0),
            ("breaker.failingMillis", self.failing_millis, 0.0),
            ("breaker.firstProbeMillis", self.first_probe_millis, 1.0),
            ("breaker.probeMillis", self.probe_millis, 1.0),
            ("breaker.longProbeMillis", self.long_probe_millis, 1.0),
        ];
        let mut problems: Vec<_> =
            least.into_iter().filter_map(|(name, value, least)| too_small(name, value, least)).collect();
        if self.failure_rate.is_some_and(|share| !(share > 0.0 && share <= 1.0)) {
            problems.push("breaker.failureRate must be a number above 0 and at most 1".to_owned());
        }
        problems
    }
}

impl From<&JsonLimits> for Limits {
    fn from(json: &JsonLimits) -> Self {
        let defaults = Self::default();
        let time = |value: Option<f64>, default| {
            value.and_then(|value| Duration::try_from_secs_f64(value / 1000.0).ok()).unwrap_or(default)
        };
        let count = |value: Option<f64>, default| value.map_or(default, to_u32);
        Self {
            failure_share: json.failure_rate.unwrap_or(defaults.failure_share),
            least_calls: count(json.minimum_calls, defaults.least_calls),
            window: time(json.window_millis, defaults.window),
            failed_rounds: count(json.failed_connects, defaults.failed_rounds),
            failing_for: time(json.failing_millis, defaults.failing_for),
            first_probe: time(json.first_probe_millis, defaults.first_probe),
            probe_interval: time(json.probe_millis, defaults.probe_interval),
            long_probe_interval: time(json.long_probe_millis, defaults.long_probe_interval),
        }
    }
}

/// Milliseconds; 0 and below mean none, as in pg.
#[derive(Deserialize, Clone, Copy)]
struct Millis(f64);

impl Millis {
    fn duration(self) -> Option<Duration> {
        Duration::try_from_secs_f64(self.0 / 1000.0).ok().filter(|duration| !duration.is_zero())
    }
}

impl JsonSettings {
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.hosts.is_empty() {
            problems.push("no host is given".to_owned());
        }
        if let Some(name) = &self.target_session_attrs
            && TargetSessionAttrs::named(name).is_none()
        {
            problems.push(format!("targetSessionAttrs must be {}", TargetSessionAttrs::NAMES));
        }
        problems.extend(self.require_auth.as_deref().and_then(|text| RequireAuth::parse(text).err()));
        let counts = [
            ("max", self.max, 1.0),
            ("min", self.min, 0.0),
            ("maxUses", self.max_uses, 0.0),
            ("maxWaiting", self.max_waiting, 0.0),
            ("retryAttempts", self.retry_attempts, 0.0),
            ("retryDelay", self.retry_delay_millis, 0.0),
            ("statementCacheSize", Some(self.statement_cache_size), 0.0),
            ("scramMaxIterations", Some(self.scram_max_iterations), 0.0),
        ];
        problems.extend(counts.into_iter().filter_map(|(name, value, least)| too_small(name, value, least)));
        problems.extend(self.breaker.iter().flat_map(|breaker| breaker.limits.problems()));
        if self.tcp_user_timeout_millis.is_some_and(|Millis(millis)| millis > f64::from(i32::MAX)) {
            problems.push(format!("tcpUserTimeoutMillis must be a number up to {}", i32::MAX));
        }
        problems
    }

    fn into_settings(self, passwords: impl FnOnce() -> Arc<dyn AskPassword>) -> Settings {
        let pool = self.pool();
        let keep_alive = self.keep_alive();
        let policy = self.policy();
        let monitoring = self.monitoring();
        let password = match self.password {
            Some(password) if !self.ask_password => Password::Known(password),
            _ => Password::Ask(passwords()),
        };
        let target =
            self.target_session_attrs.as_deref().and_then(TargetSessionAttrs::named).unwrap_or_default();
        let hosts = Hosts::new(
            self.hosts.into_iter().map(|value| Host::new(value.host, value.port)).collect(),
            target,
            self.load_balance_hosts,
            pool.connect_timeout,
        );
        let config = Config {
            user: self.user,
            database: self.database,
            password,
            parameters: self.parameters.into_iter().collect(),
            tls: self.tls.map(JsonTls::into_settings).map(Arc::new),
            channel_binding: self.channel_binding,
            scram_max_iterations: to_u32(self.scram_max_iterations),
            salted_passwords: SaltedPasswords::default(),
            // It was read before, among the problems.
            require_auth: self.require_auth.as_deref().and_then(|text| RequireAuth::parse(text).ok()),
            keep_alive,
            pipelined: self.pipeline,
            dialer: None,
            tls_dialer: None,
            resolver: None,
            login_listener: None,
            statement_cache: to_usize(self.statement_cache_size),
        };
        Settings {
            tier: self.tier,
            monitoring,
            is_measured: self.measured.unwrap_or(true),
            slow_query: self.slow_query_millis.and_then(Millis::duration).unwrap_or_default(),
            node: NodeServices { dial: self.dial, lookup: self.lookup, tell_login: self.tell_login },
            config,
            hosts,
            budget: self.budget,
            pool,
            policy,
        }
    }

    fn monitoring(&self) -> Monitoring {
        match (self.monitor.unwrap_or(true), self.logs_warnings) {
            (false, _) => Monitoring::Off,
            (true, false) => Monitoring::Measured,
            (true, true) => Monitoring::Logged,
        }
    }

    fn keep_alive(&self) -> Option<KeepAlive> {
        let time = |value: Option<Millis>| value.and_then(Millis::duration);
        self.keep_alive.then(|| KeepAlive {
            initial_delay: time(self.keep_alive_initial_delay_millis).unwrap_or_default(),
            interval: self.enhanced.then_some(PROBE_INTERVAL),
            user_timeout: time(self.tcp_user_timeout_millis),
        })
    }

    fn adaptive_policy(&self) -> AdaptivePolicy {
        let place = match &self.tier {
            _ if self.gives_way => Place::GivesWay,
            Some(tier) if tier == ADMIN => Place::Apart,
            _ => Place::Spared,
        };
        AdaptivePolicy { is_on: self.adaptive, place }
    }

    fn policy(&self) -> Policy {
        let mut retry_policy =
            RetryPolicy { attempts: self.retry_attempts.map_or(0, to_u32), ..RetryPolicy::OFF };
        if let Some(base) = self.retry_delay_millis {
            retry_policy.set_base(Duration::try_from_secs_f64(base / 1000.0).unwrap_or_default());
        }
        Policy {
            retries_are_on: self.retry.unwrap_or(true),
            retry: retry_policy,
            deadline: self.deadline_millis.and_then(Millis::duration),
            breaker: self.breaker.as_ref().map_or(Mode::Off, |value| value.mode.into()),
            limits: self.breaker.as_ref().map(|breaker| (&breaker.limits).into()).unwrap_or_default(),
            acquire_timeout: self.acquire_timeout_millis.and_then(Millis::duration),
            connect_timeout: self.connection_timeout_millis.and_then(Millis::duration),
            bypasses_breaker: self.tier.as_deref() == Some(ADMIN),
            keeps_transactions: !self.enhanced,
            adaptive: self.adaptive_policy(),
        }
    }

    fn pool(&self) -> pool::PoolSettings {
        let defaults = pool::PoolSettings::default();
        let time = |value: Option<Millis>| value.and_then(Millis::duration);
        pool::PoolSettings {
            max: self.max.map_or(defaults.max, to_usize),
            min: self.min.map_or(defaults.min, to_usize),
            idle_timeout: self.idle_timeout_millis.map_or(defaults.idle_timeout, Millis::duration),
            connect_timeout: time(self.connection_timeout_millis),
            acquire_timeout: time(self.acquire_timeout_millis),
            // As in pg, the use that reaches the number is the last.
            max_uses: self.max_uses.filter(|uses| *uses > 0.0).map(|uses| u64::from(to_u32(uses.ceil()))),
            max_lifetime: self.max_lifetime_seconds.and_then(|seconds| Millis(seconds * 1000.0).duration()),
            lifetime_jitter: if self.enhanced { 0.25 } else { 0.0 },
            max_waiting: self.max_waiting.map(to_usize),
            drain: time(self.drain_timeout_millis),
            prefill: self.enhanced,
            fail_fast: self.fail_fast.unwrap_or(true),
            leak_after: (self.monitoring() != Monitoring::Off).then_some(LEAK_AFTER),
            check_after: time(self.validate_after_idle_millis),
            keepalive_after: if self.enhanced { defaults.keepalive_after } else { None },
            ..defaults
        }
    }
}

impl JsonTls {
    fn into_settings(self) -> TlsSettings {
        let verify =
            if self.reject_unauthorized.unwrap_or(true) { VerifyServer::Full } else { VerifyServer::None };
        TlsSettings {
            authorities: self.ca,
            extra_authorities: self.extra_ca,
            certificate: self.cert,
            key: self.key,
            verify,
            server_name: self.servername.filter(|name| !name.is_empty()),
            direct: self.direct,
        }
    }
}

fn too_small(name: &str, value: Option<f64>, least: f64) -> Option<String> {
    let is_fine = value.is_none_or(|value| value >= least);
    (!is_fine).then(|| format!("{name} must be a number of at least {least}"))
}

/// A JavaScript number as a count; what is too large counts as the largest.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates")]
fn to_u32(value: f64) -> u32 {
    value as u32
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates")]
fn to_usize(value: f64) -> usize {
    value as usize
}

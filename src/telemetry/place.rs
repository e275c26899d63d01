//! The place of a pool: where its settings lead, and which server answered there. For people; no metric has it.

/// Where a pool leads, as its settings say.
#[derive(Clone, Debug)]
pub struct PoolPlace {
    /// The database.
    pub database: String,
    /// The `application_name` that its sessions have; none: they have none.
    pub application: Option<String>,
}

/// The server of a connection, as it reported itself.
#[derive(Clone, Debug)]
pub struct ServerReport {
    /// Host and port.
    pub host: String,
    /// The version; none: a pooler kept it to itself.
    pub version: Option<String>,
}

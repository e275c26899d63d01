//! Links the addon against Node-API when the `node` feature is on.

fn main() {
    if std::env::var_os("CARGO_FEATURE_NODE").is_some() {
        napi_build::setup();
    }
    // Else the library calls itself by the path at which it was linked.
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "macos") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-install_name,@rpath/libpgpool_rs.dylib");
    }
}

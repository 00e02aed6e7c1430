import COpenSSL

/// The name and version of the OpenSSL that is loaded, such as "OpenSSL 3.0.22 1 Jan 2026".
public var openSSLVersionText: String {
    unsafe String(cString: OpenSSL_version(OPENSSL_VERSION))
}

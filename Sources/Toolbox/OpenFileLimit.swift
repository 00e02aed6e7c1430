import Glibc

/// Lets the process have so many files open besides the usual ones, as far as the system allows: a chain may have more logs
/// than a process may usually have open.
public func raiseOpenFileLimit(for count: Int) {
    var limit = rlimit()
    guard unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
    limit.rlim_cur = min(limit.rlim_max, max(limit.rlim_cur, rlim_t(count) + 64))
    _ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
}

import Glibc

/// Whether a hard link in the inbox can be trusted.
///
/// A hard link is an ordinary file; the service, which may read more than its users, would make a film of whatever
/// picture somebody linked into the inbox. Linux prevents this where `fs.protected_hardlinks` is 1 (every common
/// distribution): only who owns a file, or can read and write it, can link it. There links are taken, because backups
/// and deduplication make them too; elsewhere a file with a second name is refused.
public enum HardLinks {
    /// As the kernel is set when it is first asked; false where it cannot be told.
    public static let areProtected: Bool = {
        let descriptor = open("/proc/sys/fs/protected_hardlinks", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var digit: UInt8 = 0
        return read(descriptor, &digit, 1) == 1 && digit == UInt8(ascii: "1")
    }()
}

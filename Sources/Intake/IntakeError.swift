import Glibc

/// Something about one file that stands between it and acceptance.
public struct IntakeError: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Code: String, Hashable, Sendable, Codable {
        /// There is nothing of that name (any more).
        case absent
        /// A link, a pipe, a socket, a device or a folder where a file was expected; or a path that leaves the tree.
        case unsafe
        /// The name cannot be used: too long, empty, not UTF-8.
        case name
        case tooLarge
        /// The file changed while it was read; it has to settle again.
        case changed
        /// The disk that holds the service's own files is full, or its quota.
        case noSpace
        /// Not allowed to read or to write.
        case permission
        /// Something of that name is already there.
        case exists
        /// The disk or the network behind it failed.
        case io
    }

    public var code: Code
    /// What happened, and to which file.
    public var message: String
    /// What to do.
    public var hint: String
    /// The system's error number; 0 when there was none.
    public var errno: Int32

    public init(_ code: Code, _ message: String, hint: String, errno: Int32 = 0) {
        self.code = code
        self.message = message
        self.hint = hint
        self.errno = errno
    }

    public var description: String { message }

    /// From the error number of a failed call. `doing` reads like "open", `name` is what people see.
    static func system(_ number: Int32, doing: String, name: String) -> IntakeError {
        let reason = String(cString: strerror(number))
        let (code, hint): (Code, String) =
            switch number {
            case ENOENT: (.absent, "It was renamed or deleted meanwhile.")
            case ELOOP, EXDEV, ENXIO, ENOTDIR, EISDIR, EINVAL:
                (.unsafe, "Only ordinary files in ordinary folders are taken; copy the file itself here.")
            case ENAMETOOLONG, EILSEQ: (.name, "Give it a shorter name.")
            case ENOSPC, EDQUOT: (.noSpace, "Free space on the service's disk; work goes on by itself.")
            case EACCES, EPERM, EROFS: (.permission, "Give the service's group the right to read and write here.")
            case EEXIST: (.exists, "Use another name.")
            default: (.io, "Look into the system's log for disk or network errors.")
            }
        return IntakeError(code, "\(name): cannot \(doing): \(reason)", hint: hint, errno: number)
    }
}

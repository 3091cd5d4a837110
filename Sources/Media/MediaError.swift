/// What went wrong with a picture, a sound or a film, and what to do about it.
///
/// `code` decides what happens next (an `.incomplete` picture is waited for, a `.tooLarge` one is given back); the
/// texts are for people.
public struct MediaError: Error, Equatable, Sendable, CustomStringConvertible {
    public enum Code: String, Sendable {
        /// The data ends, or breaks off, before the picture does. More may still be on its way.
        case incomplete
        /// Neither JPEG nor PNG (for a sound: neither WAV, M4A nor MP3; for a film: not MP4).
        case notAnImage
        /// More bytes, pixels, scans, memory or time than the limits allow.
        case tooLarge
        /// The data contradicts its format.
        case corrupt
        /// A legal variant that is not handled, or a setting that the format cannot hold.
        case unsupported
        /// Reading or writing failed; `errno` says why.
        case io
        /// A library refused to work: a codec is missing, or there is no memory.
        case unavailable
    }

    public var code: Code
    /// What happened and where, in one line.
    public var message: String
    /// What to do, in one line.
    public var hint: String
    /// The system's error number, where `code` is `.io`.
    public var errno: Int32?

    public init(_ code: Code, _ message: String, hint: String, errno: Int32? = nil) {
        self.code = code
        self.message = message
        self.hint = hint
        self.errno = errno
    }

    public var description: String { "\(message) (\(hint))" }
}

extension MediaError {
    /// - Parameter doing: what was tried, as in "writing clip.mp4".
    static func io(_ doing: String, errno number: Int32) -> MediaError {
        MediaError(
            .io, "\(doing): \(systemText(number))",
            hint: number == noSpace ? "free some disk space" : "check the disk and the permissions",
            errno: number)
    }
}

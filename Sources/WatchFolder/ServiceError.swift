import Foundation

/// What went wrong with one job, one input or the service, for people and for the retry decision.
///
/// `code` alone decides whether something is tried again; the text is never parsed.
public struct ServiceError: Error, Codable, Hashable, Sendable, CustomStringConvertible {
    /// A stable word for the kind of failure; engines may bring codes of their own.
    public struct Code: RawRepresentable, Codable, Hashable, Sendable {
        public let rawValue: String

        public init(rawValue: String) { self.rawValue = rawValue }

        public init(from decoder: any Decoder) throws {
            rawValue = try decoder.singleValueContainer().decode(String.self)
        }

        public func encode(to encoder: any Encoder) throws {
            var container = encoder.singleValueContainer()
            try container.encode(rawValue)
        }
    }

    public var code: Code
    /// What happened and where, one sentence.
    public var message: String
    /// What to do about it, one sentence.
    public var hint: String
    /// The underlying error, as text, for the log.
    public var cause: String?

    public init(_ code: Code, _ message: String, hint: String, cause: String? = nil) {
        self.code = code
        self.message = Self.sentence(message)
        self.hint = Self.sentence(hint)
        self.cause = cause
    }

    /// With a capital letter, unless it begins with a name (`cat.jpg: ...`), and with a full stop.
    private static func sentence(_ text: String) -> String {
        guard let last = text.last, let first = text.first else { return text }
        let word = text.prefix { $0 != " " }
        let isPlain = word.allSatisfy { $0.isASCII && $0.isLetter } && word.count < text.count
        let start = isPlain ? first.uppercased() + text.dropFirst() : text
        return ".!?:".contains(last) ? start : start + "."
    }

    public var description: String {
        "\(code.rawValue): \(message) \(hint)" + (cause.map { " (\($0))" } ?? "")
    }
}

extension ServiceError.Code {
    /// The input itself cannot be used (broken picture, empty prompt, illegal setting).
    public static let badInput = Self(rawValue: "bad_input")
    /// The picture never became complete.
    public static let incompleteInput = Self(rawValue: "incomplete_input")
    /// A setting is unknown or out of range.
    public static let badSettings = Self(rawValue: "bad_settings")
    /// The disk is full; the service pauses and goes on by itself.
    public static let noSpace = Self(rawValue: "no_space")
    /// Storage reported an error for data that was written (failed fsync, read-back differs).
    public static let storage = Self(rawValue: "storage")
    /// A worker process died while it held the job.
    public static let workerCrashed = Self(rawValue: "worker_crashed")
    /// A worker process stopped answering or ran past the time limit.
    public static let workerHung = Self(rawValue: "worker_hung")
    /// The service itself was interrupted (kill, power cut) too often in this job.
    public static let interrupted = Self(rawValue: "interrupted")
    /// The engine ran out of memory.
    public static let outOfMemory = Self(rawValue: "out_of_memory")
    /// The accelerator failed.
    public static let deviceLost = Self(rawValue: "device_lost")
    /// Something that the program did not foresee.
    public static let unexpected = Self(rawValue: "unexpected")
    /// The ledger cannot be used.
    public static let ledger = Self(rawValue: "ledger")
    /// The service's own configuration or directories cannot be used.
    public static let configuration = Self(rawValue: "configuration")

    /// True where another attempt may succeed without anybody changing anything.
    public var isRetryable: Bool {
        [.noSpace, .storage, .workerCrashed, .workerHung, .interrupted, .outOfMemory, .deviceLost].contains(self)
    }

    /// True where an attempt counts towards the poison guard.
    public var costsAttempt: Bool { self != .noSpace }
}

extension ServiceError {
    /// The error of a failed system call.
    static func system(_ call: String, _ subject: String, errno code: Int32) -> ServiceError {
        let text = String(cString: strerror(code))
        switch code {
        case ENOSPC, EDQUOT, EFBIG:
            return ServiceError(
                .noSpace, "The disk is full (\(call) \(subject)).",
                hint: "Free some space; the work goes on by itself.", cause: "\(text) [\(code)]")
        default:
            return ServiceError(
                .storage, "\(call) failed for \(subject): \(text).",
                hint: "Check the disk and the permissions of the folder.", cause: "errno \(code)")
        }
    }

    /// The error number that Foundation's file operations wrap, if any.
    private static func systemNumber(_ error: any Error) -> Int32? {
        if let posix = error as? POSIXError { return posix.code.rawValue }
        guard let cocoa = error as? CocoaError else { return nil }
        if cocoa.code == .fileWriteOutOfSpace { return ENOSPC }
        if let posix = cocoa.underlying as? POSIXError { return posix.code.rawValue }
        guard let underlying = cocoa.underlying as NSError?, underlying.domain == NSPOSIXErrorDomain else { return nil }
        return Int32(underlying.code)
    }

    /// Any error as one of ours.
    public static func wrapping(_ error: any Error) -> ServiceError {
        if let known = error as? ServiceError { return known }
        // Trouble of the host that may pass; any other number says that the program asked for something wrong.
        if let number = systemNumber(error),
            [ENOSPC, EDQUOT, EFBIG, EIO, EINTR, EAGAIN, EMFILE, ENFILE, ENOMEM].contains(number)
        {
            return system("write", "a file", errno: number)
        }
        return ServiceError(
            .unexpected, "The job stopped on an error that the program did not foresee: \(error).",
            hint: "Drop the file again; if it stays so, send the line of outbox/log.jsonl with a report.",
            cause: String(reflecting: error))
    }
}

import Foundation

/// Text to standard output and standard error, whole lines at a time, safe from any thread.
enum Console {
    private static let lock = NSLock()

    /// One line to standard output.
    static func print(_ line: String = "", terminator: String = "\n") { write(line + terminator, to: STDOUT_FILENO) }

    /// One line to standard error.
    static func error(_ line: String) { write(line + "\n", to: STDERR_FILENO) }

    /// Text without a line end to standard error, for a progress bar.
    static func errorText(_ text: String) { write(text, to: STDERR_FILENO) }

    /// Whether people, not a pipe, read standard error.
    static var errorIsTerminal: Bool { isatty(STDERR_FILENO) == 1 }

    /// `value` as JSON with sorted keys, one line to standard output.
    static func printJSON(_ value: some Encodable) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes, .prettyPrinted]
        encoder.dateEncodingStrategy = .iso8601
        print(String(decoding: try encoder.encode(value), as: UTF8.self))
    }

    private static func write(_ text: String, to descriptor: Int32) {
        lock.lock()
        defer { lock.unlock() }
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let written = bytes.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
            if written < 0 {
                if errno == EINTR { continue }
                return
            }
            bytes = bytes.dropFirst(written)
        }
    }
}

import CFFmpeg

/// Errors and log of the FFmpeg libraries.
enum FFmpeg {
    /// Keeps the libraries silent; done once, before their first use.
    static let isQuiet: Void = cffmpeg_capture_log()

    /// - Parameters:
    ///   - status: what the library returned.
    ///   - doing: what was tried, as in "writing clip.mp4".
    /// - Returns: `status`, where it is not negative.
    /// - Throws: `MediaError`, `.io` where the system refused.
    @discardableResult
    static func check(_ status: Int32, _ doing: @autoclosure () -> String) throws -> Int32 {
        if status >= 0 { return status }
        throw error(status, doing())
    }

    static func error(_ status: Int32, _ doing: String) -> MediaError {
        // System errors are small negated numbers; the libraries' own are four letters.
        if status > -1_000 && status != cffmpeg_error(EINVAL) && status != cffmpeg_error(ENOMEM) {
            return .io(doing, errno: -status)
        }
        var text = [CChar](repeating: 0, count: 128)
        av_strerror(status, &text, text.count)
        let log = String(cString: cffmpeg_last_log()).split(whereSeparator: \.isNewline).first.map { ": \($0)" } ?? ""
        let words = text.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
        return MediaError(
            status == cffmpeg_error(ENOMEM) ? .unavailable : .corrupt, "\(doing): \(words)\(log)",
            hint: "check the file and the free memory")
    }

    /// Forgets older log lines, so that an error cannot quote them.
    static func begin() {
        _ = isQuiet
        cffmpeg_last_log().pointee = 0
    }

    static func missing(_ what: String) -> MediaError {
        MediaError(.unavailable, "\(what) is not available", hint: "install the FFmpeg libraries with libx264")
    }
}

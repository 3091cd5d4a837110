import CSystem

/// Whether the content of a file is all there, as a full decode finds it.
public enum Completeness: Hashable, Sendable {
    case complete
    /// It ends too early; the rest may still come.
    case incomplete(reason: String)
    /// It can never become an input.
    case broken(reason: String, hint: String)
    /// The decode is still going on elsewhere; look again.
    case undecided
}

/// What a close look at an unmoving file found.
public enum ProbeResult: Hashable, Sendable {
    /// Complete and nobody writes.
    case complete
    /// Somebody has it open for writing.
    case beingWritten
    /// Nobody seems to write, but part of it is missing.
    case incomplete(reason: String)
    case broken(reason: String, hint: String)
    /// Its decode still goes on.
    case undecided
    /// It changed since it was observed.
    case changed
    /// It is gone.
    case gone
}

/// Looks at a file that has been quiet.
public struct FileProbe: Sendable {
    /// What was found, and whether the absence of writers is known or only assumed.
    public struct Finding: Hashable, Sendable {
        public var result: ProbeResult
        /// False when the lease was not permitted: the caller waits longer instead.
        public var knowsWriters: Bool

        public init(_ result: ProbeResult, knowsWriters: Bool) {
            self.result = result
            self.knowsWriters = knowsWriters
        }
    }

    /// Largest input, in bytes.
    public var limit: Int

    public init(limit: Int = Snapshot.defaultLimit) {
        self.limit = limit
    }

    /// Asks, in this order: is it the state that was observed, does anybody write, is it empty or too large, has it a
    /// hole, does it decode to the end, is it still the same state.
    ///
    /// - Parameter decode: reads the open file to its end; called only when everything else speaks for completeness.
    public func look(
        _ file: OpenFile, expecting expected: FileIdentity, decode: (OpenFile) throws -> Completeness
    ) rethrows -> Finding {
        guard file.identity == expected else { return Finding(.changed, knowsWriters: true) }
        let writer = dropreel_writer_of(file.descriptor)
        let knows = writer != DROPREEL_WRITER_UNKNOWN
        if writer == DROPREEL_WRITER_PRESENT { return Finding(.beingWritten, knowsWriters: true) }
        if expected.size == 0 { return Finding(.incomplete(reason: "the file is empty"), knowsWriters: knows) }
        if expected.size > Int64(limit) {
            let reason = "the file has more than \(limit / (1024 * 1024)) MiB"
            return Finding(.broken(reason: reason, hint: "Use a smaller file."), knowsWriters: knows)
        }
        let hole = dropreel_first_hole(file.descriptor, expected.size)
        if hole >= 0 {
            let percent = hole * 100 / expected.size
            return Finding(
                .incomplete(reason: "copied in part: missing from byte \(hole) on (\(percent) %)"), knowsWriters: knows)
        }
        let completeness = try decode(file)
        guard let now = try? file.currentIdentity(), !now.mayDifferInContent(from: expected) else {
            return Finding(.changed, knowsWriters: knows)
        }
        switch completeness {
        case .complete: return Finding(.complete, knowsWriters: knows)
        case .incomplete(let reason): return Finding(.incomplete(reason: reason), knowsWriters: knows)
        case .undecided: return Finding(.undecided, knowsWriters: knows)
        case .broken(let reason, let hint): return Finding(.broken(reason: reason, hint: hint), knowsWriters: knows)
        }
    }
}

/// Decides when a dropped file is complete: a pure state machine over observations, a clock and probes.
///
/// Feed it what scans and events show (`observe`, `forget`), ask which files want a closer look (`due`), hand back what
/// the look found (`report`). Times are seconds of any clock that never goes back. It neither sleeps nor touches a
/// file; `nextDeadline` says when to come again.
public struct Settling: Sendable {
    public struct Options: Hashable, Sendable {
        /// How long nothing may move before a file is looked at, in seconds.
        public var quietPeriod: Double
        /// The same where the absence of writers cannot be established.
        public var quietPeriodWithoutLease: Double
        /// How long a file may stay incomplete before it is an error, in seconds.
        public var incompleteTimeout: Double

        public init(
            quietPeriod: Double = 2, quietPeriodWithoutLease: Double = 10, incompleteTimeout: Double = 300
        ) {
            self.quietPeriod = quietPeriod
            self.quietPeriodWithoutLease = max(quietPeriod, quietPeriodWithoutLease)
            self.incompleteTimeout = incompleteTimeout
        }
    }

    /// Where a file stands.
    public enum State: Hashable, Sendable {
        /// Moving, or not yet quiet for long enough.
        case settling
        /// Somebody has it open for writing.
        case beingWritten
        /// Part of it is missing; the rest may come until `deadline`.
        case incomplete(reason: String, deadline: Double)
        /// Complete. Stays so until the content may have changed.
        case ready
        /// Can never become an input, or did not in time.
        case rejected(reason: String, hint: String)
    }

    private struct Entry {
        var identity: FileIdentity
        var state: State
        /// When this state of the file was first seen.
        var since: Double
        /// When to look; nil when only a change or a deadline matters.
        var lookAt: Double?
        /// When it was first found incomplete, in this state of the file.
        var incompleteSince: Double?
        /// Looks taken at this state of the file.
        var looks: Int

        /// Whether `due` must look at it again.
        var isMoving: Bool { lookAt != nil }
    }

    private mutating func keep(_ path: RelativePath, _ entry: Entry?) {
        entries[path] = entry
        if entry?.isMoving == true { moving.insert(path) } else { moving.remove(path) }
    }

    public var options: Options
    private var entries: [RelativePath: Entry] = [:]
    /// Those of `entries` that time alone will move; few beside the files that lie there accepted.
    private var moving: Set<RelativePath> = []

    public init(options: Options = Options()) {
        self.options = options
    }

    /// Files known, whatever their state.
    public var paths: some Collection<RelativePath> { entries.keys }

    /// Every file with its state.
    public var states: [RelativePath: State] { entries.mapValues(\.state) }

    public func state(of path: RelativePath) -> State? { entries[path]?.state }

    /// The state of the file as it was last observed.
    public func identity(of path: RelativePath) -> FileIdentity? { entries[path]?.identity }

    /// Takes note of a file as a scan or a stat after an event shows it.
    ///
    /// An accepted file that only moved its blocks stays accepted. One whose content may have changed settles again
    /// and becomes `ready` again; whether its bytes really differ, the digest tells.
    /// - Returns: the state after the observation.
    @discardableResult
    public mutating func observe(_ file: ObservedFile, at now: Double) -> State {
        guard var entry = entries[file.path] else { return start(file, at: now) }
        guard entry.identity != file.identity else { return entry.state }
        switch entry.state {
        case .ready, .rejected:
            guard file.identity.mayDifferInContent(from: entry.identity) else {
                entry.identity = file.identity
                keep(file.path, entry)
                return entry.state
            }
        default: break
        }
        return start(file, at: now)
    }

    private mutating func start(_ file: ObservedFile, at now: Double) -> State {
        let entry = Entry(
            identity: file.identity, state: .settling, since: now, lookAt: now + options.quietPeriod,
            incompleteSince: nil, looks: 0)
        keep(file.path, entry)
        return .settling
    }

    /// The file is gone or renamed away.
    public mutating func forget(_ path: RelativePath) {
        keep(path, nil)
    }

    /// Forgets every file below a folder that is not in `present`; to be called after a complete scan of it.
    /// - Returns: the files forgotten.
    @discardableResult
    public mutating func retain(_ present: Set<RelativePath>, within folder: RelativePath = .root) -> [RelativePath] {
        let gone = entries.keys.filter { $0.isWithin(folder) && !present.contains($0) }
        for path in gone { keep(path, nil) }
        return gone
    }

    /// Marks a file as accepted without a look, for inputs the ledger already knows in exactly this state.
    public mutating func accept(_ file: ObservedFile, at now: Double) {
        let entry = Entry(
            identity: file.identity, state: .ready, since: now, lookAt: nil, incompleteSince: nil, looks: 0)
        keep(file.path, entry)
    }

    /// Sends an accepted file back to settling, after its snapshot found it changed.
    public mutating func unsettle(_ path: RelativePath, at now: Double) {
        guard let entry = entries[path] else { return }
        _ = start(ObservedFile(path: path, identity: entry.identity), at: now)
    }

    /// Files that have been quiet and want a probe now, oldest first, with the state to expect.
    /// Incomplete files whose time is over become `rejected` here.
    public mutating func due(at now: Double) -> [ObservedFile] {
        var files: [(since: Double, file: ObservedFile)] = []
        for path in moving {
            guard var entry = entries[path], let lookAt = entry.lookAt else { continue }
            if case .incomplete(let reason, let deadline) = entry.state, deadline <= now {
                entry.state = .rejected(reason: reason, hint: "Copy the file here again, in full.")
                entry.lookAt = nil
                keep(path, entry)
            } else if lookAt <= now {
                files.append((entry.since, ObservedFile(path: path, identity: entry.identity)))
            }
        }
        return files.sorted { ($0.since, $0.file.path) < ($1.since, $1.file.path) }.map(\.file)
    }

    /// Takes note of what a probe found.
    ///
    /// - Parameter file: as `due` gave it; a finding about an older state of the file is passed over.
    /// - Returns: the state after the probe; nil when the file is no longer known.
    @discardableResult
    public mutating func report(_ finding: FileProbe.Finding, for file: ObservedFile, at now: Double) -> State? {
        guard var entry = entries[file.path] else { return nil }
        guard entry.identity == file.identity else { return entry.state }
        entry.looks += 1
        switch finding.result {
        case .gone:
            keep(file.path, nil)
            return nil
        case .changed:
            // The next observation brings the new state; until then the quiet period starts over.
            entry.state = .settling
            entry.since = now
            entry.lookAt = now + options.quietPeriod
        case .undecided:
            entry.state = .settling
            entry.lookAt = now + Self.pauseUndecided
        case .beingWritten:
            entry.state = .beingWritten
            entry.lookAt = now + options.quietPeriod
        case .incomplete(let reason):
            let since = entry.incompleteSince ?? now
            entry.incompleteSince = since
            entry.state = .incomplete(reason: reason, deadline: since + options.incompleteTimeout)
            // Only a change completes it, and that is observed; looking again catches what no event told.
            entry.lookAt = now + Self.pause(options.quietPeriod, looks: entry.looks)
        case .broken(let reason, let hint):
            entry.state = .rejected(reason: reason, hint: hint)
            entry.lookAt = nil
        case .complete:
            let quietUntil = entry.since + options.quietPeriodWithoutLease
            if !finding.knowsWriters, now < quietUntil {
                entry.state = .settling
                entry.lookAt = quietUntil
            } else {
                entry.state = .ready
                entry.lookAt = nil
            }
        }
        keep(file.path, entry)
        return entry.state
    }

    /// Until a decode that goes on is asked after again, in seconds.
    static let pauseUndecided = 0.25

    /// Grows with every look, up to a minute.
    private static func pause(_ quietPeriod: Double, looks: Int) -> Double {
        min(max(quietPeriod, 1) * Double(1 << min(looks, 6)), 60)
    }

    /// When `due` has something to say next; nil while nothing is under way.
    public var nextDeadline: Double? {
        var next: Double?
        for path in moving {
            guard let entry = entries[path], var candidate = entry.lookAt else { continue }
            if case .incomplete(_, let deadline) = entry.state { candidate = min(candidate, deadline) }
            next = min(next ?? candidate, candidate)
        }
        return next
    }
}

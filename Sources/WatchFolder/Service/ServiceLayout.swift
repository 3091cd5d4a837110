import Foundation

/// The directories of one service.
public struct ServiceLayout: Sendable, Hashable {
    public var inbox: URL
    public var outbox: URL
    public var rules: URL
    /// Outside the share, on the file system of the outbox: ledger, staging, snapshots.
    public var state: URL

    public init(inbox: URL, outbox: URL, rules: URL, state: URL) {
        self.inbox = inbox
        self.outbox = outbox
        self.rules = rules
        self.state = state
    }

    public var ledgerFile: URL { state.appendingPathComponent("ledger.sqlite") }
    var stagingRoot: URL { state.appendingPathComponent("staging", isDirectory: true) }
    /// Pictures by digest: what jobs read, and what a film dropped back is made from again.
    var snapshots: URL { state.appendingPathComponent("snapshots", isDirectory: true) }
    var statusFile: URL { state.appendingPathComponent("status.json") }
    var lockFile: URL { state.appendingPathComponent("service.lock") }

    /// Where one attempt of one job writes.
    func staging(_ job: JobID, epoch: Int) -> URL {
        stagingRoot.appendingPathComponent("\(job.text)-\(epoch)", isDirectory: true)
    }

    func snapshot(_ sha256: String) -> URL { snapshots.appendingPathComponent(sha256, isDirectory: false) }

    /// Makes what is missing and checks that publishing by rename is possible.
    func prepare() throws {
        for (folder, mode) in [
            (inbox, 0o2775), (outbox, 0o2775), (rules, 0o2775), (state, 0o755), (stagingRoot, 0o755),
            (snapshots, 0o755),
        ] as [(URL, mode_t)] where access(folder.path, F_OK) != 0 {
            do {
                try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            } catch {
                throw ServiceError(
                    .configuration, "The folder \(folder.path) cannot be made.",
                    hint: "Make it yourself, owned by the account of the service.", cause: "\(error)")
            }
            chmod(folder.path, mode)
        }
        for folder in [inbox, outbox, state] where access(folder.path, R_OK | W_OK | X_OK) != 0 {
            throw ServiceError(
                .configuration, "The folder \(folder.path) cannot be written.",
                hint: "Give the account of the service read and write permission.")
        }
        var outboxStatus = stat()
        var stagingStatus = stat()
        guard stat(outbox.path, &outboxStatus) == 0, stat(stagingRoot.path, &stagingStatus) == 0,
            outboxStatus.st_dev == stagingStatus.st_dev
        else {
            throw ServiceError(
                .configuration, "State directory and outbox are on different file systems.",
                hint: "Results are published by rename: put the state directory on the disk that holds the outbox.")
        }
    }
}

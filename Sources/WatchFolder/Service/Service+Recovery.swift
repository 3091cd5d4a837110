import Foundation

extension Service {
    /// Brings the ledger and the staging folder to a state that this run can go on from. No worker is alive.
    static func recover(
        ledger: any Ledger, layout: ServiceLayout, clock: any ServiceClock, policy: AttemptPolicy
    ) throws {
        for claim in try ledger.claims() {
            try ledger.end(claim, as: .interrupted, at: clock.now(), policy: policy)
        }
        // Only what is still to be published keeps its staging.
        var wanted: Set<String> = []
        for job in try ledger.jobs(in: [.rendered, .publishing]) {
            let epoch = job.publication?.epoch ?? job.epoch
            wanted.insert(layout.staging(job.id, epoch: epoch).lastPathComponent)
        }
        for name in try FileManager.default.contentsOfDirectory(atPath: layout.stagingRoot.path)
        where !wanted.contains(name) {
            try FileManager.default.removeItem(at: layout.stagingRoot.appendingPathComponent(name))
        }
        try removeHalfMadeCopies(layout)
        try? FileManager.default.removeItem(at: layout.state.appendingPathComponent("check", isDirectory: true))
        try ledger.setPause(nil)
    }

    /// Copies that a kill cut off, or that a failing disk let be neither finished nor removed. Between two rounds of the
    /// loop none is under way.
    static func removeHalfMadeCopies(_ layout: ServiceLayout) throws {
        for name in try FileManager.default.contentsOfDirectory(atPath: layout.snapshots.path) where name.hasPrefix(".")
        {
            unlink(layout.snapshot(name).path)
        }
    }
}

import Foundation
import Rules

extension ServiceOptions {
    /// The options that `etc/dropreel.toml` asks for.
    /// - Parameter watcherExecutable: path of `dropreel-watcher`; nil polls.
    public init(_ configuration: ServiceConfiguration, watcherExecutable: String?) {
        self.init()
        let intake = configuration.intake
        quietPeriod = intake.quietPeriod
        quietPeriodWithoutLease = intake.quietPeriodWithoutLease
        pairWait = intake.pairWait
        incompleteTimeout = intake.incompleteTimeout
        scanInterval = intake.scanInterval
        pollInterval = intake.pollInterval
        usesWatcher = intake.watch != .poll
        self.watcherExecutable = watcherExecutable
        heartbeatTimeout = configuration.jobs.heartbeatTimeout
        jobTimeout = configuration.jobs.jobTimeout
        minimumFreeBytes = Int64(configuration.jobs.minimumFree)
        snapshotBytes = Int64(configuration.jobs.snapshots)
        policy.maximumFailures = configuration.jobs.attempts
        retention = configuration.jobs.retention
        retentionBytes = configuration.jobs.retentionSize.map(Int64.init)
        writesFolderStatus = configuration.share.folderStatus
    }
}

extension ServiceLayout {
    /// The directories that `etc/dropreel.toml` names.
    public init(_ configuration: ServiceConfiguration) {
        let folders = configuration.folders
        self.init(
            inbox: URL(fileURLWithPath: folders.inbox, isDirectory: true),
            outbox: URL(fileURLWithPath: folders.outbox, isDirectory: true),
            rules: URL(fileURLWithPath: folders.rules, isDirectory: true),
            state: URL(fileURLWithPath: folders.state, isDirectory: true))
    }
}

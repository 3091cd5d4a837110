import Foundation

/// Something that people away from the share may want to know.
public enum ServiceEvent: Sendable {
    /// A film is in the outbox. `name` as in STATUS.txt, `output` below the outbox.
    case done(name: String, output: String)
    case failed(name: String, ServiceError)
    /// Nothing is taken in or published until there is space again.
    case paused(String)
    case resumed
}

extension Service {
    /// Takes over what can change while the service runs: times, limits, retention, texts. How files are noticed stays as
    /// it was at the start.
    public func reconfigure(_ new: ServiceOptions) {
        var options = new
        options.usesWatcher = self.options.usesWatcher
        options.watcherExecutable = self.options.watcherExecutable
        self.options = options
        pool.options = options
        view.settling.options.quietPeriod = options.quietPeriod
        view.settling.options.quietPeriodWithoutLease = options.quietPeriodWithoutLease
        view.settling.options.incompleteTimeout = options.incompleteTimeout
        nextHousekeeping = 0
        nextStatus = 0
    }

    func tell(_ job: JobRecord, publishedAs output: String? = nil) {
        let name = ServiceStatus.path(job)
        if let error = job.error {
            onEvent?(.failed(name: name, error))
        } else if let output {
            onEvent?(.done(name: name, output: output))
        }
    }
}

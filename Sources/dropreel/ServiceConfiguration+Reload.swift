import Rules

extension ServiceConfiguration {
    /// Sections and keys that differ and count only at the next start.
    func needingRestart(comparedTo new: ServiceConfiguration) -> [String] {
        var names: [String] = []
        if root != new.root { names.append("root") }
        if folders != new.folders { names.append("folders") }
        if models != new.models { names.append("models") }
        if engine != new.engine { names.append("engine") }
        if intake.watch != new.intake.watch { names.append("intake.watch") }
        if jobs.stopTimeout != new.jobs.stopTimeout { names.append("jobs.stop_timeout") }
        if metrics.port != new.metrics.port { names.append("metrics.port") }
        if log.format != new.log.format { names.append("log.format") }
        return names
    }

    /// What holds after `new` was read while the service runs.
    func taking(over new: ServiceConfiguration) -> ServiceConfiguration {
        var result = self
        result.intake = new.intake
        result.intake.watch = intake.watch
        result.jobs = new.jobs
        result.jobs.stopTimeout = jobs.stopTimeout
        result.share = new.share
        result.metrics.file = new.metrics.file
        result.notices = new.notices
        result.log.level = new.log.level
        return result
    }
}

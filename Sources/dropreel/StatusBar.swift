import WatchFolder

/// The progress of the job that runs, as a bar; a new bar for each job.
struct StatusBar {
    private var bar: ProgressBar?
    private var job: JobID?

    mutating func show(_ status: ServiceStatus) {
        guard let running = status.running.first(where: { $0.state == .running }) ?? status.running.first else {
            finish()
            return
        }
        if running.id != job {
            finish()
            job = running.id
            bar = ProgressBar(label: running.name)
        }
        let progress = running.progress
        var detail = progress?.stage ?? "starting"
        if let progress, progress.stage == "step" { detail = "step \(progress.step) of \(progress.stepCount)" }
        if !status.queued.isEmpty { detail += ", \(status.queued.count) queued" }
        bar?.update(fraction: progress?.fraction ?? 0, remaining: running.secondsLeft, detail: detail)
    }

    mutating func finish() {
        bar?.finish()
        bar = nil
        job = nil
    }
}

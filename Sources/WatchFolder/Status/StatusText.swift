import Foundation

/// STATUS.txt: for people with a file manager and nothing else. CRLF, so that every Notepad shows lines.
enum StatusText {
    static func render(_ status: ServiceStatus, utcOffset: Int) -> String {
        var lines = [
            status.isRunning ? "Dropreel is running." : "Dropreel is stopped.",
            "Written \(time(status.writtenAt, utcOffset, full: true)).",
        ]
        if let pause = status.pause { lines.append("PAUSED: \(pause)") }
        lines += status.notices.map { "Note: \($0)" }
        section("Running", status.running.map { running($0, name: path($0.folder, $0.name)) }, in: &lines)
        var queue = status.queued.map { queued($0, name: path($0.folder, $0.name), utcOffset) }
        let more = (status.counts[JobState.queued.rawValue] ?? 0) - status.queued.count
        if more > 0 { queue.append("... and \(more) more") }
        section("Queued", queue, in: &lines)
        section("Waiting", status.waiting.map { "\($0.path): \($0.reason)" }, in: &lines)
        section(
            "Failed",
            status.finished.filter { $0.error != nil }
                .map { failed($0, name: path($0.folder, $0.name), utcOffset) }, in: &lines)
        section("Done", status.finished.filter { $0.error == nil }.map { done($0, utcOffset) }, in: &lines)
        return lines.joined(separator: "\r\n") + "\r\n"
    }

    /// The first line of a folder's text.
    static func stamp(_ status: ServiceStatus, utcOffset: Int) -> String {
        "Dropreel, last change \(time(status.writtenAt, utcOffset, full: true)).\r\n"
    }

    /// What a folder's text says below its first line. Holds no time that passes by itself.
    static func lines(_ part: ServiceStatus, folder: String, utcOffset: Int) -> [String] {
        var lines = [
            "This folder: \(folder.isEmpty ? "the inbox itself" : folder). The whole: STATUS.txt in the outbox."
        ]
        if !part.isRunning { lines.append("Dropreel is stopped.") }
        if let pause = part.pause { lines.append("PAUSED: \(pause)") }
        section("Running", part.running.map { running($0, name: $0.name) }, in: &lines)
        section("Queued", part.queued.map { queued($0, name: $0.name, utcOffset) }, in: &lines)
        section("Waiting", part.waiting.map { "\(DurableFiles.name($0.path)): \($0.reason)" }, in: &lines)
        section(
            "Failed", part.finished.filter { $0.error != nil }.map { failed($0, name: $0.name, utcOffset) },
            in: &lines)
        section(
            "Done",
            part.finished.filter { $0.error == nil }.map {
                "\(time($0.finishedAt, utcOffset, full: false)) \($0.name)" + ($0.output.map { " -> \($0)" } ?? "")
            }, in: &lines)
        return lines
    }

    private static func section(_ title: String, _ entries: [String], in lines: inout [String]) {
        lines.append("")
        lines.append(entries.isEmpty ? "\(title): none" : "\(title):")
        lines += entries.map { "  " + $0 }
    }

    private static func running(_ job: ServiceStatus.Active, name: String) -> String {
        guard job.state == .running else { return "\(name): being put into the outbox" }
        guard let progress = job.progress else { return "\(name): starting" }
        var text = "\(name): \(Int((min(max(progress.fraction, 0), 1) * 100).rounded(.down))) %, \(progress.stage)"
        if progress.stepCount > 0 { text += ", step \(progress.step) of \(progress.stepCount)" }
        if let left = job.secondsLeft { text += ", about \(duration(left)) to go" }
        return text
    }

    private static func queued(_ job: ServiceStatus.Active, name: String, _ utcOffset: Int) -> String {
        var text = "\(job.place ?? 0). \(name)"
        if job.failures > 0 { text += " (failed \(job.failures) times, tried again" }
        if job.failures > 0, let retry = job.retryAt { text += " at \(time(retry, utcOffset, full: false))" }
        return job.failures > 0 ? text + ")" : text
    }

    private static func failed(_ job: ServiceStatus.Finished, name: String, _ utcOffset: Int) -> String {
        let error = job.error.map { "\($0.message) \($0.hint)" } ?? ""
        return "\(time(job.finishedAt, utcOffset, full: false)) \(name): \(error)"
    }

    private static func done(_ job: ServiceStatus.Finished, _ utcOffset: Int) -> String {
        let output = job.output.map { " -> " + path(job.folder, $0) } ?? ""
        return "\(time(job.finishedAt, utcOffset, full: false)) \(path(job.folder, job.name))\(output)"
    }

    private static func path(_ folder: String, _ name: String) -> String { folder.isEmpty ? name : "\(folder)/\(name)" }

    static func duration(_ seconds: Double) -> String {
        let whole = Int(max(0, seconds).rounded(.up))
        if whole < 60 { return "\(whole) s" }
        if whole < 3600 { return "\(whole / 60) min \(whole % 60) s" }
        return "\(whole / 3600) h \(whole / 60 % 60) min"
    }

    private static func time(_ date: Date, _ utcOffset: Int, full: Bool) -> String {
        var moment = time_t(date.timeIntervalSince1970.rounded(.down)) + utcOffset
        var parts = tm()
        gmtime_r(&moment, &parts)
        func two(_ value: Int32) -> String { value < 10 ? "0\(value)" : "\(value)" }
        let clock = "\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec))"
        return full ? "\(parts.tm_year + 1900)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday)) \(clock)" : clock
    }
}

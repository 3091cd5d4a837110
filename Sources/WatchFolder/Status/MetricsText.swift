import Foundation

/// The status in Prometheus' text form. Source: Prometheus documentation, "Text-based format", version 0.0.4.
public enum MetricsText {
    /// - Parameter freeBytes: of each directory that counts, by a word for it.
    public static func render(_ status: ServiceStatus, freeBytes: [String: Int64] = [:]) -> String {
        var text = ""
        func metric(_ name: String, _ type: String, _ help: String, _ values: [(label: String, value: String)]) {
            text += "# HELP dropreel_\(name) \(help)\n# TYPE dropreel_\(name) \(type)\n"
            for value in values {
                text += "dropreel_\(name)\(value.label.isEmpty ? "" : "{\(value.label)}") \(value.value)\n"
            }
        }
        func count(_ state: JobState) -> String { "\(status.counts[state.rawValue] ?? 0)" }
        metric("up", "gauge", "Whether the service runs.", [("", status.isRunning ? "1" : "0")])
        metric(
            "status_timestamp_seconds", "gauge", "When the status was taken, in seconds since 1970.",
            [("", number(status.writtenAt.timeIntervalSince1970))])
        metric(
            "jobs", "gauge", "Jobs that are not finished, by state.",
            [JobState.queued, .running, .rendered, .publishing].map { ("state=\"\($0.rawValue)\"", count($0)) })
        metric(
            "jobs_finished_total", "counter", "Finished jobs that the ledger holds, by result.",
            [JobState.done, .failed, .cancelled].map { ("result=\"\($0.rawValue)\"", count($0)) })
        metric(
            "waiting_files", "gauge", "Files that are no job yet, or never will be.", [("", "\(status.waiting.count)")])
        metric("paused", "gauge", "Whether nothing goes on for want of space.", [("", status.pause == nil ? "0" : "1")])
        metric("notices", "gauge", "Notes that STATUS.txt shows.", [("", "\(status.notices.count)")])
        metric(
            "running_seconds", "gauge", "Time since the oldest running job began.",
            [("", number(status.running.compactMap(\.secondsRunning).max() ?? 0))])
        if !freeBytes.isEmpty {
            metric(
                "free_bytes", "gauge", "Free space, by directory.",
                freeBytes.sorted { $0.key < $1.key }.map { ("directory=\"\($0.key)\"", "\($0.value)") })
        }
        return text
    }

    private static func number(_ value: Double) -> String { String(format: "%.3f", value) }
}

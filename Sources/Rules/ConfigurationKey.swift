/// One key of the service's configuration: where it stands, what it may hold, what holds without it.
public struct ConfigurationKey: Hashable, Sendable {
    public enum Kind: Hashable, Sendable {
        case path
        case paths
        /// A name, or empty for none.
        case name
        case integer(ClosedRange<Int>)
        /// Seconds, or a number with a unit: "20 s", "5 min", "6 h", "30 d".
        case duration(ClosedRange<Double>)
        /// The same, or "off".
        case optionalDuration(ClosedRange<Double>)
        /// Bytes: "64 MiB", "4 GiB".
        case bytes(ClosedRange<Int>)
        /// The same, or "off".
        case optionalBytes(ClosedRange<Int>)
        case choice([String])
        case boolean
        /// An http or https address, or empty for none.
        case url
        /// "all", numbers of GPUs, or empty.
        case devices
    }

    /// "" for keys above the first section.
    public let section: String
    public let name: String
    public let kind: Kind
    public let legal: String
    /// As it would be written.
    public let standard: String
    public let summary: String

    /// `intake.pair_wait`
    public var fullName: String { section.isEmpty ? name : "\(section).\(name)" }

    private init(
        _ section: String, _ name: String, _ kind: Kind, _ standard: String, legal: String, _ summary: String
    ) {
        self.section = section
        self.name = name
        self.kind = kind
        self.standard = standard
        self.legal = legal
        self.summary = summary
    }

    private static let day = 86_400.0
    private static let tebibyte = 1 << 40

    /// The table.
    public static let all: [ConfigurationKey] = [
        .init(
            "", "root", .path, "\"..\"", legal: "a path",
            "Where relative paths begin, seen from the folder of this file."),
        .init("folders", "inbox", .path, "\"inbox\"", legal: "a path", "Where people drop pictures and prompts."),
        .init("folders", "outbox", .path, "\"outbox\"", legal: "a path", "Where films appear."),
        .init("folders", "rules", .path, "\"rules\"", legal: "a path", "Settings for each folder of the inbox."),
        .init(
            "folders", "state", .path, "\"state\"", legal: "a path",
            "The service's own files: outside the share, on the disk that holds the outbox."),
        .init("models", "directories", .paths, "[\"Models\"]", legal: "a path or a list of paths", "Where models lie."),
        .init(
            "models", "text_to_video", .name, "\"\"", legal: "a model's name",
            "The model for prompts when no rule names one; empty for the first that suits."),
        .init(
            "models", "image_to_video", .name, "\"\"", legal: "a model's name",
            "The model for pictures when no rule names one; empty for the first that suits."),
        .init(
            "engine", "backend", .choice(words()), "auto", legal: "auto, cpu or cuda",
            "What computes; auto takes a GPU that has proven every operation, else the CPU."),
        .init(
            "engine", "device", .integer(0...63), "0", legal: "0 to 63",
            "Number of the GPU, of those that the service may use."),
        .init(
            "engine", "gpus", .devices, "\"\"", legal: "all, numbers as 0, 1, or empty for device alone",
            "GPUs that make films, each by a worker of its own."),
        .init(
            "engine", "gpu_memory", .optionalBytes(1 << 30...tebibyte), "off", legal: "off, or 1 GiB to 1024 GiB",
            "Most memory that a worker takes of its GPU; off for what is free."),
        .init(
            "engine", "gpu_timeout", .optionalDuration(2...day), "5 min", legal: "off, or 2 s to 1 d",
            "How long a GPU may make no progress before its worker is replaced."),
        .init(
            "engine", "threads", .integer(0...1024), "0", legal: "0 to 1024",
            "Threads of one worker; 0 for one per core."),
        .init("engine", "workers", .integer(1...64), "1", legal: "1 to 64", "Worker processes."),
        .init(
            "engine", "noise_multiprocessors", .integer(1...1024), "132", legal: "1 to 1024",
            "Multiprocessors of the GPU whose noise a seed stands for; the same seed then gives the same film everywhere."
        ),
        .init(
            "engine", "noise_threads", .integer(256...4096), "2048", legal: "256 to 4096",
            "Threads of each of those multiprocessors."),
        .init(
            "intake", "watch", .choice(ServiceConfiguration.WatchMode.allCases.map(\.rawValue)), "auto",
            legal: "auto, inotify or poll", "How new files are noticed; poll looks every poll_interval."),
        .init(
            "intake", "pair_wait", .duration(0...day), "20 s", legal: "0 s to 1 d",
            "How long a picture waits for its prompt."),
        .init(
            "intake", "quiet_period", .duration(0.1...3600), "2 s", legal: "0.1 s to 1 h",
            "How long a file must not change before it is looked at."),
        .init(
            "intake", "quiet_period_without_lease", .duration(0.1...3600), "10 s", legal: "0.1 s to 1 h",
            "The same where the system does not tell whether somebody still writes."),
        .init(
            "intake", "incomplete_timeout", .duration(1...30 * day), "5 min", legal: "1 s to 30 d",
            "How long a file may stay incomplete before it is returned."),
        .init(
            "intake", "scan_interval", .duration(1...day), "5 min", legal: "1 s to 1 d",
            "Between two looks at the whole inbox beside inotify."),
        .init(
            "intake", "poll_interval", .duration(0.2...3600), "2 s", legal: "0.2 s to 1 h",
            "Between two looks at the whole inbox without inotify."),
        .init(
            "jobs", "attempts", .integer(1...10), "3", legal: "1 to 10",
            "Attempts at a job whose worker crashes before it counts as failed."),
        .init(
            "jobs", "job_timeout", .duration(1...30 * day), "6 h", legal: "1 s to 30 d", "Longest time of one attempt."),
        .init(
            "jobs", "heartbeat_timeout", .duration(1...day), "30 s", legal: "1 s to 1 d",
            "Silence after which a worker counts as hung."),
        .init(
            "jobs", "stop_timeout", .duration(0...day), "60 s", legal: "0 s to 1 d",
            "How long a running job may go on after the service is asked to stop."),
        .init(
            "jobs", "retention", .optionalDuration(3600...3650 * day), "off", legal: "off, or 1 h to 3650 d",
            "Age at which inputs in _done and _failed are deleted."),
        .init(
            "jobs", "retention_size", .optionalBytes(0...tebibyte), "off", legal: "off, or 0 MiB to 1024 GiB",
            "Space for inputs in _done and _failed; above it the oldest are deleted."),
        .init(
            "jobs", "minimum_free", .bytes(0...tebibyte), "64 MiB", legal: "0 MiB to 1024 GiB",
            "Space that must stay free; below it intake pauses."),
        .init(
            "jobs", "snapshots", .bytes(0...tebibyte), "4 GiB", legal: "0 MiB to 1024 GiB",
            "Space for pictures of finished jobs, kept for films dropped back."),
        .init(
            "share", "folder_status", .boolean, "yes", legal: "yes or no",
            "A STATUS.txt in each folder of inbox and outbox that is in use, beside the one in the outbox itself."),
        .init(
            "metrics", "port", .integer(0...65_535), "0", legal: "0 to 65535",
            "Port on 127.0.0.1 that answers GET /metrics in Prometheus' text form; 0 for none."),
        .init(
            "metrics", "file", .name, "\"\"", legal: "a path, or empty for none",
            "File that is kept up to date in the same form, for node_exporter's textfile collector."),
        .init(
            "notices", "webhook", .url, "\"\"", legal: "an http or https address, or empty for none",
            "Gets a JSON object by POST when jobs are finished."),
        .init(
            "notices", "ntfy", .url, "\"\"", legal: "an http or https address, or empty for none",
            "Topic of an ntfy server that gets the same as a text."),
        .init(
            "notices", "ntfy_token_file", .name, "\"\"", legal: "a path, or empty for none",
            "File whose first line is the access token for ntfy."),
        .init(
            "notices", "events", .choice(ServiceConfiguration.NoticeEvents.allCases.map(\.rawValue)), "failed",
            legal: "failed or all", "What is told: failures and full disks, or finished films, too."),
        .init(
            "notices", "window", .duration(0...day), "60 s", legal: "0 s to 1 d",
            "How long news are gathered before they are sent as one."),
        .init(
            "log", "format", .choice(ServiceConfiguration.LogFormat.allCases.map(\.rawValue)), "text",
            legal: "text or json", "Form of the service's own log."),
        .init(
            "log", "level", .choice(ServiceConfiguration.LogLevel.allCases.map(\.rawValue)), "info",
            legal: "trace, debug, info, notice, warning, error or critical", "Least weight that is logged."),
    ]

    private static func words() -> [String] { ServiceConfiguration.BackendChoice.allCases.map(\.rawValue) }

    static let sections = ["folders", "models", "engine", "intake", "jobs", "share", "metrics", "notices", "log"]

    /// A complete configuration file of defaults, each key explained and commented out.
    public static var commentedFile: String {
        var lines = ["# Settings of the service. Every line that is commented out shows the default."]
        var section = ""
        for key in all {
            if key.section != section {
                section = key.section
                lines += ["", "[\(section)]"]
            } else if section.isEmpty {
                lines.append("")
            }
            lines.append("# \(key.summary) Legal: \(key.legal).")
            lines.append("# \(key.name) = \(key.standard)")
        }
        return lines.joined(separator: "\n") + "\n"
    }
}

import Foundation
import Logging
import Rules
import Synchronization

/// Sets up the program's log on standard error, as the configuration asks.
enum LogSetup {
    private static let level = Mutex(Logger.Level.info)

    static func bootstrap(_ log: ServiceConfiguration.Log) {
        apply(log)
        let form: LogLine.Form =
            switch log.format {
            case .json: .json
            case .text: ProcessInfo.processInfo.environment["JOURNAL_STREAM"] == nil ? .text : .journal
            }
        LoggingSystem.bootstrap { LineLogHandler(label: $0, form: form) }
    }

    /// Takes over the level, also while the program runs.
    static func apply(_ log: ServiceConfiguration.Log) {
        level.withLock { $0 = Logger.Level(rawValue: log.level.rawValue) ?? .info }
    }

    fileprivate static var currentLevel: Logger.Level { level.withLock { $0 } }
}

/// One line for each event, whole, at the level that holds now.
struct LineLogHandler: LogHandler {
    let label: String
    let form: LogLine.Form
    var metadata: Logger.Metadata = [:]

    init(label: String, form: LogLine.Form) {
        self.label = label
        self.form = form
    }

    /// The program's level: setting one logger's own has no effect.
    var logLevel: Logger.Level {
        get { LogSetup.currentLevel }
        set {}
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let all = metadata.merging(event.metadata ?? [:], uniquingKeysWith: { $1 }).mapValues { "\($0)" }
        let line = LogLine(
            level: event.level, label: label, message: "\(event.message)", metadata: all, time: Date())
        Console.error(line.text(form))
    }
}

/// One event of the log, written out.
struct LogLine {
    enum Form: Sendable {
        /// With the time in front.
        case text
        /// As systemd's journal reads it: the weight in front, no time. Source: sd-daemon(3).
        case journal
        /// One JSON object: time, level, label, message, and the metadata's keys.
        case json
    }

    var level: Logger.Level
    var label: String
    var message: String
    var metadata: [String: String]
    var time: Date

    func text(_ form: Form) -> String {
        switch form {
        case .text: "\(time.formatted(.iso8601)) \(level.rawValue) \(label): \(words)"
        case .journal: "<\(weight)>\(label): \(words)"
        case .json: json
        }
    }

    private var words: String {
        let pairs = metadata.sorted { $0.key < $1.key }.map { "\($0.key)=\(Self.shown($0.value))" }
        return ([message] + pairs).joined(separator: " ").split(whereSeparator: \.isNewline).joined(separator: " ")
    }

    /// Quoted where it would not read as one word.
    private static func shown(_ text: String) -> String {
        let isWord = !text.isEmpty && text.allSatisfy { !$0.isWhitespace && $0 != "\"" && $0 != "=" }
        return isWord ? text : "\"" + text.replacing("\"", with: "'") + "\""
    }

    private var weight: Int {
        switch level {
        case .trace, .debug: 7
        case .info: 6
        case .notice: 5
        case .warning: 4
        case .error: 3
        case .critical: 2
        }
    }

    private var json: String {
        var object = metadata
        object["time"] = time.formatted(.iso8601)
        object["level"] = level.rawValue
        object["label"] = label
        object["message"] = message
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return (try? encoder.encode(object)).map { String(decoding: $0, as: UTF8.self) } ?? message
    }
}

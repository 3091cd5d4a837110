import Foundation
import WatchFolder

/// What happened within one window, to be told as one.
struct Notice: Encodable, Equatable {
    struct Film: Encodable, Equatable {
        var name: String
        /// Below the outbox.
        var output: String
    }

    struct Failure: Encodable, Equatable {
        var name: String
        var message: String
        var hint: String
    }

    var schema = "dropreel.notice/1"
    var done: [Film] = []
    var failed: [Failure] = []
    /// What concerns the service as a whole.
    var service: [String] = []

    /// Entries of one kind that a text lists.
    private static let listed = 10

    var isEmpty: Bool { done.isEmpty && failed.isEmpty && service.isEmpty }

    mutating func add(_ event: ServiceEvent, includesDone: Bool) {
        switch event {
        case .done(let name, let output):
            if includesDone { done.append(Film(name: name, output: output)) }
        case .failed(let name, let error):
            failed.append(Failure(name: name, message: error.message, hint: error.hint))
        case .paused(let reason): service.append("Paused: \(reason)")
        case .resumed: service.append("Goes on.")
        }
    }

    /// One line: "2 films done, 1 failed".
    var title: String {
        var parts: [String] = []
        if !done.isEmpty { parts.append(done.count == 1 ? "1 film done" : "\(done.count) films done") }
        if !failed.isEmpty { parts.append("\(failed.count) failed") }
        if parts.isEmpty { return service.last ?? "Nothing to tell" }
        return parts.joined(separator: ", ")
    }

    var text: String {
        var lines = service
        lines += failed.prefix(Self.listed).map { "Failed: \($0.name): \($0.message) \($0.hint)" }
        if failed.count > Self.listed { lines.append("... and \(failed.count - Self.listed) more that failed") }
        lines += done.prefix(Self.listed).map { "Done: \($0.output)" }
        if done.count > Self.listed { lines.append("... and \(done.count - Self.listed) more films") }
        return lines.joined(separator: "\n")
    }

    func json() throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(self), as: UTF8.self)
    }
}

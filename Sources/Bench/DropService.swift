import Foundation

/// The service in a process of its own, over a folder, watched by what it logs.
final class DropService: @unchecked Sendable {
    // Invariant for `@unchecked Sendable`: `accepted`, `published`, `rest` and `hasEnded` are touched under `condition` alone.
    struct Failure: Error, CustomStringConvertible {
        let description: String
        init(_ text: String) { description = text }
    }

    struct Film {
        let seconds: Double
        /// The JSON beside the film.
        let record: URL

        /// "text 0.016, step 0.82, ...".
        var stages: String {
            struct Record: Decodable {
                let timings: [String: Double]?
                let stages: [Stage]?
                struct Stage: Decodable {
                    let stage: String
                    let seconds: Double
                }
            }
            guard let data = try? Data(contentsOf: record),
                let found = try? JSONDecoder().decode(Record.self, from: data)
            else { return "no record" }
            let times =
                found.timings ?? Dictionary(found.stages?.map { ($0.stage, $0.seconds) } ?? [], uniquingKeysWith: +)
            return times.sorted { $0.key < $1.key }.map { String(format: "\($0.key) %.3f", $0.value) }
                .joined(separator: ", ")
        }
    }

    private let process = Process()
    private let folder: URL
    private let condition = NSCondition()
    private var accepted: ContinuousClock.Instant?
    private var published: ContinuousClock.Instant?
    private var rest = ""
    private var hasEnded = false
    private var films = 0

    /// Seconds that the first film may take: its weights are read and named.
    private static let patience = 120.0

    init(program: URL, folder: URL) throws {
        self.folder = folder
        process.executableURL = program
        process.arguments = ["serve", "--config", folder.appending(path: "etc/dropreel.toml").path]
        process.standardOutput = FileHandle.nullDevice
        let log = Pipe()
        process.standardError = log
        try process.run()
        let thread = Thread { [self] in
            while case let data = log.fileHandleForReading.availableData, !data.isEmpty { read(data) }
            condition.withLock {
                hasEnded = true
                condition.broadcast()
            }
        }
        thread.name = "service log"
        thread.start()
    }

    private func read(_ data: Data) {
        let now = ContinuousClock.now
        condition.withLock {
            rest += String(decoding: data, as: UTF8.self)
            while let end = rest.firstIndex(of: "\n") {
                let line = rest[..<end]
                if line.contains(": accepted ") { accepted = now }
                if line.contains(": published ") { published = now }
                rest = String(rest[rest.index(after: end)...])
            }
            condition.broadcast()
        }
    }

    /// Drops a prompt and waits for its film.
    /// - Parameter settings: lines above the prompt.
    /// - Throws: `Failure` where none comes.
    func film(_ words: String, settings: String) throws -> Film {
        let outbox = folder.appending(path: "outbox")
        func records() -> Set<String> {
            let names = (try? FileManager.default.contentsOfDirectory(atPath: outbox.path)) ?? []
            return Set(names.filter { $0.hasSuffix(".json") })
        }
        let before = records()
        condition.withLock { (accepted, published) = (nil, nil) }
        films += 1
        try (settings + "---\nA green train passes from left to right, \(words).\n").write(
            to: folder.appending(path: "inbox/film\(films).prompt"), atomically: false, encoding: .utf8)
        let limit = Date().addingTimeInterval(Self.patience)
        let seconds: Double = try condition.withLock {
            while published == nil, !hasEnded, condition.wait(until: limit) {}
            guard let accepted, let published else { throw Failure("the service made no film of \(words)") }
            return Stopwatch.seconds(from: accepted, to: published)
        }
        guard let record = records().subtracting(before).first else { throw Failure("a film without its record") }
        return Film(seconds: seconds, record: outbox.appending(path: record))
    }

    /// Harmless if it has ended.
    func stop() {
        guard process.isRunning else { return }
        process.terminate()
        process.waitUntilExit()
    }
}

import FolderFixtures
import Foundation
import Logging
import Rules
import Testing

@testable import WatchFolder

/// A service on a folder of its own, driven round by round from the test's thread.
final class FolderHarness {
    let root: URL
    let layout: ServiceLayout
    private(set) var service: Service!
    private let options: ServiceOptions
    private let workers: WorkerSupply
    private let calls: SystemCalls

    init(
        options: ServiceOptions = .quick, workers: WorkerSupply = .threads([{ FakeEngine() }]),
        calls: SystemCalls = .kernel, root: URL? = nil
    ) throws {
        self.root =
            root
            ?? FileManager.default.temporaryDirectory.appendingPathComponent(
                "folder-\(UUID().uuidString)", isDirectory: true)
        self.options = options
        self.workers = workers
        self.calls = calls
        let base = self.root
        layout = ServiceLayout(
            inbox: base.appendingPathComponent("inbox"), outbox: base.appendingPathComponent("outbox"),
            rules: base.appendingPathComponent("rules"), state: base.appendingPathComponent("state"))
        try start()
    }

    deinit {
        try? service?.stop(within: 0)
        service = nil
        try? FileManager.default.removeItem(at: root)
    }

    /// A new service on the same folders; the old one ends as by an orderly stop, or is merely forgotten.
    func start() throws {
        service = try Service(
            layout: layout, options: options, models: .fake, inspector: FakeInspector(), filmReader: FakeFilmReader(),
            workers: workers, programVersion: "test", calls: calls,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    func stop(within seconds: Double = 2) throws {
        try service.stop(within: seconds)
        service = nil
    }

    var ledger: any Ledger { service.ledger }

    // MARK: What people do

    func inbox(_ path: String) -> URL { layout.inbox.appendingPathComponent(path) }

    func drop(_ path: String, _ text: String) throws {
        let url = inbox(path)
        try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(text.utf8).write(to: url)
    }

    func rule(_ path: String, _ text: String) throws {
        try Data(text.utf8).write(to: layout.rules.appendingPathComponent(path))
    }

    func rename(_ from: String, _ to: String) throws {
        try FileManager.default.moveItem(at: inbox(from), to: inbox(to))
    }

    func remove(_ path: String) throws { try FileManager.default.removeItem(at: inbox(path)) }

    func exists(_ path: String) -> Bool { access(root.appendingPathComponent(path).path, F_OK) == 0 }

    func text(_ path: String) -> String {
        (try? String(contentsOf: root.appendingPathComponent(path), encoding: .utf8)) ?? ""
    }

    var status: String { text("outbox/STATUS.txt") }

    /// Names of the outbox (or a folder of it) with the ending, sorted.
    func outputs(_ ending: String = ".mp4", in folder: String = "") -> [String] {
        let path = folder.isEmpty ? layout.outbox.path : layout.outbox.path + "/" + folder
        return ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).filter { $0.hasSuffix(ending) }
            .sorted()
    }

    func film(_ name: String) throws -> Data { try Data(contentsOf: layout.outbox.appendingPathComponent(name)) }

    func record(_ name: String) throws -> [String: JSONValue] {
        try JSONDecoder().decode(JSONValue.self, from: film(name)).objectValue ?? [:]
    }

    // MARK: Rounds

    /// Rounds until the condition holds.
    func until(
        _ what: String, within seconds: Double = 120, sourceLocation: SourceLocation = #_sourceLocation,
        _ condition: () throws -> Bool
    ) throws {
        let end = SystemClock().uptime() + seconds
        repeat {
            service.tick()
            if try condition() { return }
            usleep(500)
        } while SystemClock().uptime() < end
        Issue.record("timed out: \(what)\n\(status)", sourceLocation: sourceLocation)
        throw TimedOut()
    }

    /// - Returns: how long it took until the condition held, in seconds.
    func seconds(
        _ what: String, sourceLocation: SourceLocation = #_sourceLocation, _ condition: () throws -> Bool
    ) throws -> Double {
        let start = SystemClock().uptime()
        try until(what, sourceLocation: sourceLocation, condition)
        return SystemClock().uptime() - start
    }

    /// Rounds for as long as several quiet periods, in which something must not happen.
    func throughout(
        _ seconds: Double = 0.3, _ condition: () throws -> Bool, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let end = SystemClock().uptime() + seconds
        repeat {
            service.tick()
            let holds = try condition()
            try #require(holds, sourceLocation: sourceLocation)
            usleep(500)
        } while SystemClock().uptime() < end
    }

    func untilIdle(films: Int, sourceLocation: SourceLocation = #_sourceLocation) throws {
        try until("\(films) films and nothing open", sourceLocation: sourceLocation) {
            try outputs(".json").count >= films && ledger.openDrops().isEmpty
        }
        #expect(outputs().count == films, sourceLocation: sourceLocation)
        #expect(outputs(".json").count == films, sourceLocation: sourceLocation)
    }

    var jobCount: Int { (try? ledger.counts().values.reduce(0, +)) ?? -1 }

    struct TimedOut: Error {}
}

extension SystemCalls {
    /// The kernel's, with one call replaced.
    static func with(_ change: (inout SystemCalls) -> Void) -> SystemCalls {
        var calls = SystemCalls.kernel
        change(&calls)
        return calls
    }
}

import FolderFixtures
import Foundation
import Rules
import Testing

@testable import WatchFolder

/// Whole processes: behaviours 14, 17 and 25.
@Suite(.serialized)
struct ProcessTests {
    /// A service process over the fake engine, with child workers.
    final class ServiceProcess {
        let root: URL
        private(set) var process: Process?

        init() {
            root = FileManager.default.temporaryDirectory.appendingPathComponent("service-\(UUID().uuidString)")
            for name in ["inbox", "outbox", "rules", "state"] {
                try? FileManager.default.createDirectory(
                    at: root.appendingPathComponent(name), withIntermediateDirectories: true)
            }
        }

        deinit {
            kill()
            try? FileManager.default.removeItem(at: root)
        }

        /// The fixture's executable lies beside the test bundle.
        static let executable: URL = {
            var folder =
                Bundle.allBundles.map(\.bundleURL).first { $0.pathExtension == "xctest" }
                ?? URL(fileURLWithPath: CommandLine.arguments[0])
            folder.deleteLastPathComponent()
            return folder.appendingPathComponent("dropreel-fake")
        }()

        func start(workers: Int = 2) throws {
            let process = Process()
            process.executableURL = Self.executable
            process.arguments = ["serve", root.path, "\(workers)"]
            try process.run()
            self.process = process
        }

        func kill() {
            guard let process, process.isRunning else { return }
            Foundation.kill(process.processIdentifier, SIGKILL)
            process.waitUntilExit()
        }

        /// - Returns: the exit status.
        func terminate() -> Int32 {
            guard let process else { return -1 }
            process.terminate()
            let end = SystemClock().uptime() + 20
            while process.isRunning, SystemClock().uptime() < end { usleep(5000) }
            guard !process.isRunning else {
                kill()
                return -1
            }
            return process.terminationStatus
        }

        func drop(_ name: String, _ text: String) throws {
            // As a careful client does it: the whole file appears at once.
            let hidden = root.appendingPathComponent("inbox/.\(name)")
            try Data(text.utf8).write(to: hidden)
            try FileManager.default.moveItem(at: hidden, to: root.appendingPathComponent("inbox/\(name)"))
        }

        func names(_ folder: String) -> [String] {
            ((try? FileManager.default.contentsOfDirectory(atPath: root.appendingPathComponent(folder).path)) ?? [])
                .sorted()
        }

        func text(_ path: String) -> String {
            (try? String(contentsOf: root.appendingPathComponent(path), encoding: .utf8)) ?? ""
        }

        func until(
            _ what: String, within seconds: Double = 60, sourceLocation: SourceLocation = #_sourceLocation,
            _ condition: () throws -> Bool
        ) throws {
            let end = SystemClock().uptime() + seconds
            while SystemClock().uptime() < end {
                if try condition() { return }
                usleep(5000)
            }
            Issue.record("timed out: \(what)\n\(text("outbox/STATUS.txt"))", sourceLocation: sourceLocation)
        }

        /// Every film that can be seen is whole: its digest is the one that its bytes should have.
        func checkVisibleFilms() throws {
            for name in names("outbox") where name.hasSuffix(".mp4") {
                guard let film = try? Data(contentsOf: root.appendingPathComponent("outbox/\(name)")) else { continue }
                let lines = film.dropFirst("film:".utf8.count).split(separator: UInt8(ascii: "\n"))
                #expect(film.starts(with: Data("film:".utf8)) && lines.count == 200 && Set(lines).count == 1)
            }
        }
    }

    @Test("behaviour 14: kill -9 at random moments leaves exactly one result or error for each input")
    func killedAtRandom() throws {
        let rounds = Int(ProcessInfo.processInfo.environment["DROPREEL_KILL_ROUNDS"] ?? "") ?? 200
        let service = ServiceProcess()
        var generator = SystemRandomNumberGenerator()
        var dropped: [String] = []
        var failing: Set<String> = []
        for round in 0..<rounds {
            try service.start()
            for index in 0..<2 {
                let name = "p\(round)-\(index)"
                let isBad = (round + index) % 11 == 0
                try service.drop("\(name).prompt", isBad ? "refuse" : "film \(name)")
                if isBad { failing.insert(name) }
                dropped.append(name)
            }
            // Start-up takes some 30 ms, the way of one prompt some 100 more.
            usleep(UInt32.random(in: 0...260_000, using: &generator))
            service.kill()
            try service.checkVisibleFilms()
        }
        try service.start()
        try service.until("all ended", within: 300) {
            service.names("inbox").allSatisfy { !$0.hasSuffix(".prompt") }
        }
        #expect(service.terminate() == 0)
        try service.checkVisibleFilms()
        let outputs = service.names("outbox")
        let failures = Set(service.names("inbox/_failed"))
        for name in dropped {
            let films = outputs.filter { $0.hasPrefix("\(name)_") && $0.hasSuffix(".mp4") }
            if failing.contains(name) {
                #expect(
                    films.isEmpty && failures.contains("\(name).prompt")
                        && failures.contains("\(name).prompt.ERROR.txt"))
                continue
            }
            try #require(films.count == 1, "\(name): \(films)")
            let base = String(films[0].dropLast(4))
            #expect(outputs.contains(base + ".json") && outputs.contains(base + ".jpg"))
            let record = try JSONDecoder().decode(JSONValue.self, from: Data(service.text("outbox/\(base).json").utf8))
            let digest = record.objectValue?["output"]?.objectValue?["sha256"]?.stringValue
            #expect(try Digest.ofFile(service.root.appendingPathComponent("outbox/\(films[0])").path) == digest)
        }
        #expect(service.names("inbox/_done").count == dropped.count - failing.count)
        #expect(service.names("state/staging").isEmpty)
        let ids = try service.text("outbox/log.jsonl").split(separator: "\n").map { line in
            try JSONDecoder().decode(JSONValue.self, from: Data(line.utf8)).objectValue?["id"]?.stringValue
        }
        #expect(ids.count == dropped.count && Set(ids).count == ids.count)
    }

    @Test("behaviour 17: an input that crashes its worker three times lands in _failed, and the queue goes on")
    func poison() throws {
        let service = ServiceProcess()
        try service.start(workers: 1)
        try service.drop("poison.prompt", "crash")
        try service.drop("cat.prompt", "a cat")
        try service.until("both ended") {
            service.names("inbox/_failed").contains("poison.prompt.ERROR.txt")
                && service.names("inbox/_done").contains("cat.prompt")
        }
        #expect(service.text("inbox/_failed/poison.prompt.ERROR.txt").contains("3 attempts"))
        #expect(service.text("outbox/log.jsonl").contains("\"code\":\"worker_crashed\""))
        #expect(service.terminate() == 0)
    }

    @Test("a worker that hangs is killed after the time limit, at the cost of one attempt")
    func hanging() throws {
        let service = ServiceProcess()
        try service.start(workers: 1)
        try service.drop("hang.prompt", "hang")
        try service.until("failed", within: 30) { service.names("inbox/_failed").contains("hang.prompt.ERROR.txt") }
        #expect(service.text("outbox/log.jsonl").contains("\"code\":\"worker_hung\""))
        #expect(service.terminate() == 0)
    }

    @Test("behaviour 25: SIGTERM ends within its limit, and a restart goes on where it stood")
    func terminated() throws {
        let service = ServiceProcess()
        try service.start(workers: 1)
        try service.drop("gate.prompt", "gate a long one")
        try service.drop("next.prompt", "the next one")
        try service.until("running") { service.text("outbox/STATUS.txt").contains("gate: ") }
        let start = SystemClock().uptime()
        #expect(service.terminate() == 0)
        #expect(SystemClock().uptime() - start < 5)
        #expect(service.text("outbox/STATUS.txt").contains("Dropreel is stopped."))
        try Data().write(to: service.root.appendingPathComponent("state/gate"))
        try service.start(workers: 1)
        try service.until("both done") { service.names("inbox/_done").count == 2 }
        #expect(service.names("outbox").filter { $0.hasSuffix(".mp4") }.count == 2)
        #expect(service.terminate() == 0)
    }

    @Test("workers do not outlive a killed service")
    func orphans() throws {
        let service = ServiceProcess()
        try service.start(workers: 2)
        try service.drop("gate.prompt", "gate a long one")
        try service.until("running") { service.text("outbox/STATUS.txt").contains("gate: ") }
        service.kill()
        try service.until("no process left", within: 5) {
            let pids = try FileManager.default.contentsOfDirectory(atPath: "/proc").filter { Int($0) != nil }
            return !pids.contains { pid in
                let line = (try? Data(contentsOf: URL(fileURLWithPath: "/proc/\(pid)/cmdline"))) ?? Data()
                return line.range(of: Data(service.root.path.utf8)) != nil
            }
        }
    }
}

import Foundation
import GRDB
import Intake
import Testing

@testable import WatchFolder

@Suite struct ScaleTests {
    private static let count = 5_000
    /// `DROPREEL_KNOWN_FILES=500000` makes it as large as the folder of somebody who never tidies up.
    private static let countOfProcess =
        ProcessInfo.processInfo.environment["DROPREEL_KNOWN_FILES"].flatMap(Int.init) ?? 5_000

    @Test("a full scan knows every file of a large inbox again, and makes no job of any")
    func knownFiles() throws {
        let folder = try FolderHarness()
        try fill(folder, Self.count)
        try folder.stop()
        try folder.start()
        folder.service.tick()

        #expect(folder.service.view.known.entries.count == Self.count)
        #expect(folder.service.view.missing.isEmpty)
        #expect(folder.service.view.settling.paths.isEmpty)
        folder.service.tick()
        #expect(folder.jobCount == 0)
        try folder.drop("new.prompt", "a cat")
        try folder.untilIdle(films: 1)
        #expect(folder.jobCount == 1)
    }

    @Test("a service that starts on a large inbox is soon up, with memory to spare, and goes on to new files")
    func startOnKnownFiles() throws {
        let folder = try FolderHarness(workers: .none)
        try fill(folder, Self.countOfProcess)
        try folder.stop()
        let service = ServiceProcess(on: folder.root)
        let opening = try ContinuousClock().measure {
            try service.start(workers: 1)
            // Told after the first look at everything.
            try service.until("up", within: 3600) { service.isUp }
        }
        let (processor, memory) = try cost(of: #require(service.pid))
        try service.drop("new.prompt", "a cat")
        try service.until("a film", within: 3600) { service.names("inbox/_done") == ["new.prompt"] }
        #expect(service.names("outbox").filter { $0.hasSuffix(".mp4") }.count == 1)
        #expect(service.terminate() == 0)
        #expect(try String(contentsOf: service.messages, encoding: .utf8) == "")
        print(
            "\(Self.countOfProcess) known files: ledger read and all of them seen after \(opening), "
                + "\(processor) CPU s, peak \(memory) MiB")
    }

    /// Files of drops that were finished long ago, each in the ledger as it lies there.
    private func fill(_ folder: FolderHarness, _ count: Int) throws {
        let root = try SafeRoot(path: folder.layout.inbox.path)
        let encoder = JSONEncoder()
        let ledger = try #require(folder.ledger as? SQLiteLedger)
        try ledger.write { db in
            let drop = try db.makeStatement(
                sql: """
                    INSERT INTO "drop" (id, folder, stem, acceptedAt, after, state) VALUES (?, ?, ?, 0, 'keep', 'closed')
                    """)
            let input = try db.makeStatement(
                sql: """
                    INSERT INTO input ("drop", role, path, name, sha256, identity, disposition)
                    VALUES (?, 'prompt', ?, ?, ?, ?, 'kept')
                    """)
            for number in 0..<count {
                let place = "old-\(number / 1_000)"
                if number % 1_000 == 0 {
                    try FileManager.default.createDirectory(
                        at: folder.inbox(place), withIntermediateDirectories: false)
                }
                let path = RelativePath("\(place)/take-\(number).prompt")
                let file = open(folder.inbox(path.string).path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o644)
                #expect(write(file, "x", 1) == 1)
                close(file)
                let observed = try #require(try root.observe(path))
                let identity = String(decoding: try encoder.encode(observed.identity), as: UTF8.self)
                let id = JobID(at: Date()).text
                try drop.execute(arguments: [id, place, "take-\(number)"])
                try input.execute(arguments: [
                    id, path.string, path.name, String(repeating: "0", count: 64), identity,
                ])
            }
        }
    }

    /// Processor time so far, in seconds, and most memory held, in MiB.
    private func cost(of process: pid_t) throws -> (processor: Double, memory: Int) {
        let status = try String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)
        let memory = try #require(status.firstMatch(of: /VmHWM:\s*(\d+) kB/).flatMap { Int($0.1) })
        // Behind the name in brackets; user and system time are the 14th and 15th field of all.
        let fields = try String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8)
            .split(separator: ")")[1].split(separator: " ")
        let ticks = try #require(Double(fields[11])) + #require(Double(fields[12]))
        return (ticks / Double(sysconf(Int32(_SC_CLK_TCK))), memory >> 10)
    }
}

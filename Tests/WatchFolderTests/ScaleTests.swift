import Foundation
import GRDB
import Intake
import Testing

@testable import WatchFolder

@Suite struct ScaleTests {
    /// `DROPREEL_KNOWN_FILES=500000` makes it as large as the folder of somebody who never tidies up.
    private static let count = ProcessInfo.processInfo.environment["DROPREEL_KNOWN_FILES"].flatMap(Int.init) ?? 5_000

    @Test("a full scan knows every file of a large inbox again, and makes no job of any")
    func knownFiles() throws {
        let folder = try FolderHarness()
        try fill(folder)
        try folder.stop()
        try Data("5".utf8).write(to: URL(fileURLWithPath: "/proc/self/clear_refs"))

        let before = clock()
        let opening = try ContinuousClock().measure { try folder.start() }
        let scan = ContinuousClock().measure { folder.service.tick() }
        let processor = Double(clock() - before) / Double(CLOCKS_PER_SEC)

        #expect(folder.service.view.known.entries.count == Self.count)
        #expect(folder.service.view.missing.isEmpty)
        #expect(folder.service.view.settling.paths.isEmpty)
        folder.service.tick()
        #expect(folder.jobCount == 0)
        try folder.drop("new.prompt", "a cat")
        try folder.untilIdle(films: 1)
        #expect(folder.jobCount == 1)

        print(
            "\(Self.count) known files: ledger read in \(opening), scan in \(scan), "
                + "\(processor) CPU s, peak \(try peakMemory())")
    }

    /// Files of drops that were finished long ago, each in the ledger as it lies there.
    private func fill(_ folder: FolderHarness) throws {
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
            for number in 0..<Self.count {
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

    private func peakMemory() throws -> String {
        let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
        return status.firstMatch(of: /VmHWM:\s*(\d+) kB/).map { "\(Int($0.1)! / 1024) MiB" } ?? "unknown"
    }
}

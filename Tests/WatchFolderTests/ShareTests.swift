import FolderFixtures
import Foundation
import Rules
import Testing

@testable import WatchFolder

/// What people see in the folders they open: the folders' own STATUS.txt, and what retention leaves of `_done`.
@Suite(.serialized)
struct ShareTests {
    @Test("each folder in use has its own STATUS.txt, in the inbox and in the outbox")
    func folderStatus() throws {
        let folder = try FolderHarness()
        try folder.drop("night/cat.prompt", "gate cat")
        try folder.until("running") { folder.text("inbox/night/STATUS.txt").contains("Running:\r\n  cat:") }
        try folder.drop("night/dog.prompt", "a dog")
        try folder.drop("owl.prompt", "refuse owl")
        try folder.drop("night/mouse.jpg", "IMG mouse END")
        try folder.until("all told") {
            let night = folder.text("inbox/night/STATUS.txt")
            return night.contains("1. dog") && night.contains("mouse.jpg: waiting for mouse.prompt")
                && folder.text("inbox/STATUS.txt").contains("owl")
        }
        #expect(!folder.text("inbox/night/STATUS.txt").contains("owl"))
        #expect(!folder.exists("outbox/night"))
        try Data().write(to: folder.layout.state.appendingPathComponent("gate"))
        try folder.until("done told") {
            folder.text("outbox/night/STATUS.txt").contains("dog_t2v_")
                && folder.text("inbox/STATUS.txt").contains("owl: The engine refuses. Ask for something else.")
        }
        #expect(folder.text("outbox/night/STATUS.txt") == folder.text("inbox/night/STATUS.txt"))
        #expect(folder.jobCount == 3)
        try folder.stop()
        #expect(folder.text("inbox/night/STATUS.txt").contains("Dropreel is stopped."))
    }

    @Test("a folder in which nothing changes keeps its text untouched; switched off there is none")
    func quiet() throws {
        let folder = try FolderHarness()
        try folder.drop("night/cat.prompt", "a cat")
        try folder.until("told") { folder.text("inbox/night/STATUS.txt").contains("Done:\r\n") }
        func modified() throws -> Date {
            let attributes = try FileManager.default.attributesOfItem(atPath: folder.inbox("night/STATUS.txt").path)
            return try #require(attributes[.modificationDate] as? Date)
        }
        try folder.until("all returned") { try folder.ledger.openDrops().isEmpty }
        // What a stall of the host put off is written now.
        folder.service.nextStatus = 0
        folder.service.nextFolderStatus = 0
        folder.service.tick()
        let before = try modified()
        try folder.drop("day/dog.prompt", "a dog")
        try folder.until("dog") { folder.text("inbox/day/STATUS.txt").contains("dog_t2v_") }
        try folder.throughout { try modified() == before }

        var options = ServiceOptions.quick
        options.writesFolderStatus = false
        let silent = try FolderHarness(options: options)
        try silent.drop("night/cat.prompt", "a cat")
        try silent.until("film") { silent.status.contains("cat_t2v_") }
        #expect(!silent.exists("inbox/night/STATUS.txt") && !silent.exists("outbox/night/STATUS.txt"))
    }

    @Test("a restart tells the same")
    func restart() throws {
        let folder = try FolderHarness()
        try folder.drop("night/cat.prompt", "a cat")
        try folder.until("told") { folder.text("inbox/night/STATUS.txt").contains("cat_t2v_") }
        try folder.stop()
        try folder.remove("night/STATUS.txt")
        try folder.start()
        try folder.until("told again") { folder.text("inbox/night/STATUS.txt").contains("cat_t2v_") }
    }

    private func returned(_ count: Int, _ options: ServiceOptions) throws -> FolderHarness {
        let folder = try FolderHarness(options: options)
        for number in 1...count {
            try folder.drop("cat\(number).prompt", "a cat" + String(repeating: "!", count: 95))
            try folder.until("returned") { folder.exists("inbox/_done/cat\(number).prompt") }
        }
        try folder.until("closed") { try folder.ledger.openDrops().isEmpty }
        return folder
    }

    private func keepHouse(_ folder: FolderHarness) throws {
        folder.service.nextHousekeeping = 0
        folder.service.tick()
    }

    @Test("without limits nothing returned is ever deleted")
    func noRetention() throws {
        let folder = try returned(2, .quick)
        try keepHouse(folder)
        #expect(folder.exists("inbox/_done/cat1.prompt") && folder.exists("inbox/_done/cat2.prompt"))
    }

    @Test("the limit of bytes deletes the oldest first")
    func retentionBytes() throws {
        var options = ServiceOptions.quick
        options.retentionBytes = 250
        let folder = try returned(4, options)
        try folder.drop("bad.prompt", "refuse")
        try folder.until("failed") { folder.exists("inbox/_failed/bad.prompt.ERROR.txt") }
        try folder.until("closed") { try folder.ledger.openDrops().isEmpty }
        try keepHouse(folder)
        #expect(!folder.exists("inbox/_done/cat1.prompt") && !folder.exists("inbox/_done/cat2.prompt"))
        #expect(folder.exists("inbox/_done/cat4.prompt") && folder.exists("inbox/_failed/bad.prompt"))
        #expect(folder.outputs().count == 4)
    }

    @Test("the limit of age counts from the return, and leaves what an open drop moved")
    func retentionAge() throws {
        var options = ServiceOptions.quick
        options.retention = 3600
        let folder = try returned(1, options)
        utimes(folder.inbox("_done/cat1.prompt").path, [timeval(), timeval()])
        try keepHouse(folder)
        #expect(folder.exists("inbox/_done/cat1.prompt"))
        folder.service.options.retention = -60
        let drop = try #require(try folder.ledger.recentlyFinished(limit: 1).first?.drop)
        try folder.ledger.reopen(drop)
        try folder.service.trimReturned()
        #expect(folder.exists("inbox/_done/cat1.prompt"))
        try folder.ledger.close(drop: drop)
        try folder.service.trimReturned()
        #expect(!folder.exists("inbox/_done/cat1.prompt"))
    }
}

extension Ledger {
    /// As if the service had been cut off between the move of an input and the end of its drop.
    fileprivate func reopen(_ drop: JobID) throws {
        try (self as! SQLiteLedger).write { db in
            try db.execute(sql: "UPDATE \"drop\" SET state = 'open' WHERE id = ?", arguments: [drop.text])
            try db.execute(
                sql: "UPDATE input SET disposition = 'returning' WHERE \"drop\" = ?", arguments: [drop.text])
        }
    }
}

import FolderFixtures
import Foundation
import Rules
import Synchronization
import Testing

@testable import WatchFolder

/// Disks that fail: behaviours 15 and 16, lost ledgers, torn logs, short writes.
@Suite(.serialized)
struct FaultTests {
    /// Invariant: atomics only.
    final class Faults: Sendable {
        let isFull = Atomic<Bool>(false)
        let syncsToFail = Atomic<Int>(0)
        let failedInodes = Mutex<Set<UInt64>>([])
        private let held = Mutex<[Int32]>([])
        let repeatedSyncs = Atomic<Int>(0)
        let shortWrites = Atomic<Int>(0)

        deinit { held.withLock { for descriptor in $0 { close(descriptor) } } }

        var calls: SystemCalls {
            .with { calls in
                calls.write = { descriptor, bytes, count in
                    if self.isFull.load(ordering: .relaxed) {
                        errno = ENOSPC
                        return -1
                    }
                    let number = self.shortWrites.wrappingAdd(1, ordering: .relaxed).newValue
                    if number % 3 == 0 {
                        errno = EINTR
                        return -1
                    }
                    return write(descriptor, bytes, min(count, 37))
                }
                calls.fsync = { descriptor in
                    var status = stat()
                    fstat(descriptor, &status)
                    let isFile = status.st_mode & S_IFMT == S_IFREG
                    let inode = UInt64(status.st_ino)
                    if isFile, self.failedInodes.withLock({ $0.contains(inode) }) {
                        self.repeatedSyncs.wrappingAdd(1, ordering: .relaxed)
                    }
                    if self.syncsToFail.load(ordering: .relaxed) > 0 {
                        self.syncsToFail.wrappingSubtract(1, ordering: .relaxed)
                        // Held open, so that no other file gets its number.
                        let held = dup(descriptor)
                        self.held.withLock { $0.append(held) }
                        if isFile { _ = self.failedInodes.withLock { $0.insert(inode) } }
                        errno = EIO
                        return -1
                    }
                    return fsync(descriptor)
                }
            }
        }
    }

    @Test("behaviour 15: a full disk while publishing loses nothing and goes on by itself; short writes are completed")
    func fullWhilePublishing() throws {
        let faults = Faults()
        let folder = try FolderHarness(calls: faults.calls)
        folder.service.tick()
        faults.isFull.store(true, ordering: .relaxed)
        try folder.drop("cat.prompt", "a cat")
        try folder.until("paused") { folder.service.pause != nil }
        try folder.throughout(0.3) { folder.outputs(".json").isEmpty && folder.exists("inbox/cat.prompt") }
        faults.isFull.store(false, ordering: .relaxed)
        try folder.untilIdle(films: 1)
        #expect(try folder.ledger.counts() == [.done: 1])
        #expect(folder.service.pause == nil)
    }

    @Test("a picture that is not what the worker wrote is never seen, and the job says so")
    func tornPoster() throws {
        let folder = try FolderHarness()
        try folder.drop("cat.prompt", "torn cat")
        try folder.until("failed") {
            #expect(folder.outputs(".jpg").isEmpty && folder.outputs().isEmpty)
            return folder.exists("inbox/_failed/cat.prompt.ERROR.txt")
        }
        let job = try #require(try folder.ledger.recentlyFinished(limit: 1).first)
        #expect(job.error?.code == .storage && job.failures == 3)
    }

    @Test("behaviour 15: a small file system that is really full", .enabled(if: getuid() == 0, "mounting needs root"))
    func fullFileSystem() throws {
        let root = FileManager.default.temporaryDirectory.appendingPathComponent("small-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: root, withIntermediateDirectories: true)
        try #require(mount("tmpfs", root.path, "tmpfs", 0, "size=8m") == 0, "no tmpfs can be mounted here: \(errno)")
        defer { umount2(root.path, Int32(MNT_DETACH)) }
        var options = ServiceOptions.quick
        options.minimumFreeBytes = 1 << 20
        let folder = try FolderHarness(options: options, root: root)
        try folder.drop("first.prompt", "first")
        try folder.untilIdle(films: 1)
        let ballast = root.appendingPathComponent("ballast")
        let file = open(ballast.path, O_CREAT | O_WRONLY | O_CLOEXEC, 0o600)
        let block = [UInt8](repeating: 1, count: 4096)
        while write(file, block, block.count) > 0 {}
        close(file)
        // The person's copy fails as well, so it is made while nothing but names are needed.
        try folder.until("paused") { folder.service.pause != nil }
        try FileManager.default.moveItem(at: folder.inbox("_done/first.prompt"), to: folder.inbox("second.prompt"))
        try folder.throughout(0.3) { folder.outputs(".json").count == 1 && folder.exists("inbox/second.prompt") }
        unlink(ballast.path)
        try folder.untilIdle(films: 2)
        #expect(folder.service.pause == nil)
    }

    @Test(
        "behaviour 16: a failed sync is no success, is not repeated on the same data, and the film is made again",
        arguments: 1...6)
    func failedSync(count: Int) throws {
        let faults = Faults()
        let folder = try FolderHarness(calls: faults.calls)
        folder.service.tick()
        faults.syncsToFail.store(count, ordering: .relaxed)
        try folder.drop("cat.prompt", "a cat")
        try folder.until("ended") { try folder.ledger.openDrops().isEmpty && folder.jobCount == 1 }
        #expect(faults.repeatedSyncs.load(ordering: .relaxed) == 0)
        let job = try #require(try folder.ledger.recentlyFinished(limit: 1).first)
        #expect(job.failures >= 1)
        if job.state == .done {
            #expect(folder.outputs().count == 1 && folder.outputs(".json").count == 1)
        } else {
            #expect(folder.outputs().isEmpty && folder.exists("inbox/_failed/cat.prompt.ERROR.txt"))
        }
    }

    @Test("behaviour 16: data whose sync failed is never synced again, new data under its name or number is")
    func suspectData() throws {
        let count = Atomic<Int>(0)
        let calls = SystemCalls.with { calls in
            calls.fsync = { descriptor in
                guard count.wrappingAdd(1, ordering: .relaxed).newValue == 1 else { return fsync(descriptor) }
                errno = EIO
                return -1
            }
        }
        let files = DurableFiles(calls: calls)
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("film-\(UUID().uuidString)").path
        defer { unlink(path) }
        try Data("film".utf8).write(to: URL(fileURLWithPath: path))
        for _ in 0..<3 { #expect(throws: ServiceError.self) { try files.syncFile(path) } }
        #expect(count.load(ordering: .relaxed) == 1)
        var times = [timespec(tv_sec: 1, tv_nsec: 0), timespec(tv_sec: 1, tv_nsec: 0)]
        #expect(utimensat(AT_FDCWD, path, &times, 0) == 0)
        try files.syncFile(path)
        #expect(count.load(ordering: .relaxed) == 2)
    }

    @Test("what the system says inside Foundation's errors decides about another attempt")
    func wrappedErrors() throws {
        for (number, code) in [
            (EIO, ServiceError.Code.storage), (EINTR, .storage), (EMFILE, .storage), (ENOSPC, .noSpace),
            (EDQUOT, .noSpace), (ENOENT, .unexpected),
        ] {
            let cause = NSError(domain: NSPOSIXErrorDomain, code: Int(number))
            let error = NSError(domain: NSCocoaErrorDomain, code: 512, userInfo: [NSUnderlyingErrorKey: cause])
            #expect(ServiceError.wrapping(error).code == code, "\(number)")
        }
        #expect(ServiceError.wrapping(CocoaError(.fileWriteOutOfSpace)).code == .noSpace)
    }

    @Test("a name taken by somebody else is not overwritten: the film takes the next one")
    func nameCollision() throws {
        let folder = try FolderHarness()
        try folder.drop("cat.prompt", "gate cat")
        try folder.until("running") { try folder.ledger.counts()[.running] == 1 }
        let start = Int(Date().timeIntervalSince1970)
        for second in start..<(start + 30) {
            let name = OutputName(
                stem: "CAT", mode: .textToVideo, seed: 0, model: "Fake-T2V", secondsSince1970: second)
            try Data("mine".utf8).write(to: folder.layout.outbox.appendingPathComponent(name.fileName("mp4")))
        }
        try Data().write(to: folder.layout.state.appendingPathComponent("gate"))
        try folder.until("published") { folder.outputs(".json").count == 1 }
        #expect(folder.outputs(".json")[0].hasSuffix("_2.json"))
        for name in folder.outputs() where name.hasPrefix("CAT") { #expect(try folder.film(name) == Data("mine".utf8)) }
    }

    @Test("a lost ledger is rebuilt without repeating a published film", arguments: [false, true])
    func lostLedger(isDamaged: Bool) throws {
        let folder = try FolderHarness()
        try folder.drop("kept.prompt", "after = keep\n---\na cat")
        try folder.drop("list.prompts", "after = keep\n---\none\ntwo\n")
        try folder.untilIdle(films: 3)
        try folder.stop()
        for ending in ["", "-wal", "-shm"] { unlink(folder.layout.ledgerFile.path + ending) }
        if isDamaged { try Data(repeating: 0x5A, count: 8192).write(to: folder.layout.ledgerFile) }
        try folder.start()
        try folder.drop("new.prompt", "a new one")
        try folder.untilIdle(films: 4)
        #expect(folder.exists("inbox/kept.prompt") && folder.exists("inbox/list.prompts"))
        let aside = try FileManager.default.contentsOfDirectory(atPath: folder.layout.state.path)
            .filter { $0.hasPrefix("ledger.sqlite.damaged-") }
        #expect(aside.isEmpty != isDamaged)
    }

    @Test("a line of log.jsonl that a crash left half written is cut off, and none is written twice")
    func tornLog() throws {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("log-\(UUID().uuidString).jsonl").path
        defer { unlink(path) }
        let log = LogFile(path: path, files: DurableFiles(), staging: FileManager.default.temporaryDirectory.path)
        let first = JobID(at: Date(timeIntervalSince1970: 1))
        let second = JobID(at: Date(timeIntervalSince1970: 2))
        try log.append(.object(["id": .string(first.text)]), id: first)
        let file = open(path, O_WRONLY | O_APPEND | O_CLOEXEC)
        _ = write(file, "{\"id\":\"half", 11)
        close(file)
        try log.append(.object(["id": .string(first.text)]), id: first)
        try log.append(.object(["id": .string(second.text)]), id: second)
        let lines = try String(contentsOfFile: path, encoding: .utf8)
        #expect(lines == "{\"id\":\"\(first)\"}\n{\"id\":\"\(second)\"}\n")
    }
}

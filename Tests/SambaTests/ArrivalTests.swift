import Digests
import FolderFixtures
import Foundation
import Testing

@testable import WatchFolder

extension SambaSuite {
    /// How files come over SMB: behaviours 1 to 7 and 11.
    @Suite struct ArrivalTests {
        private static let oldTime = 1_000_000_000

        /// When a copy sets the modification time of its original.
        enum TimeIsSet: CaseIterable { case beforeClose, afterClose }

        @Test(
            "behaviour 1: full size first, then blocks, an old time last: accepted once", arguments: TimeIsSet.allCases)
        func windowsCopy(when: TimeIsSet) throws {
            // Long enough that the time is set before the file is taken, on a busy host as well.
            let share = try ShareFolder { $0.quietPeriod = 0.8 }
            let bytes = ShareFolder.picture("cat", size: 1 << 20)
            let file = try share.person.create("inbox/cat.jpg")
            try file.setSize(bytes.count)
            try share.person.put("inbox/cat.prompt", "a cat")
            #expect(try share.person.list("inbox").contains { $0.name == "cat.jpg" && $0.size == bytes.count })
            try share.letPass()
            #expect(try share.jobs().isEmpty)
            try file.write(bytes.prefix(bytes.count / 2))
            try share.letPass()
            try file.write(bytes.suffix(from: bytes.count / 2))
            if when == .beforeClose { try share.person.setTime("inbox/cat.jpg", secondsSince1970: Self.oldTime) }
            try share.letPass()
            #expect(try share.jobs().isEmpty)
            try file.close()
            let closed = Date()
            if when == .afterClose { try share.person.setTime("inbox/cat.jpg", secondsSince1970: Self.oldTime) }
            try share.untilFilms(1)
            try share.letPass()
            #expect(try share.jobs().count == 1)
            var status = stat()
            #expect(stat(share.layout.inbox.appendingPathComponent("_done/cat.jpg").path, &status) == 0)
            // A time set by another handle than the one that writes is overtaken by the close: what the share showed then
            // stays, whatever became of the file since.
            let isOld = status.st_mtim.tv_sec == Self.oldTime
            #expect(isOld || when == .beforeClose && Double(status.st_mtim.tv_sec) <= closed.timeIntervalSince1970)
            let digest = try share.record(share.outputs(".json")[0])["image_sha256"]?.stringValue
            #expect(digest == Digest.of(bytes))
        }

        @Test("behaviour 2: a connection reset in the middle of a copy; STATUS says incomplete; a second copy runs")
        func resetConnection() throws {
            let share = try ShareFolder()
            let other = try share.secondPerson()
            let bytes = ShareFolder.picture("cat", size: 1 << 20)
            let file = try share.person.create("inbox/cat.jpg")
            try file.setSize(bytes.count)
            try file.write(bytes.prefix(bytes.count / 4))
            try other.put("inbox/cat.prompt", "a cat")
            #expect(try share.person.reset() >= 1)
            // The library connects again by itself; the file that was open is lost.
            #expect(throws: ShareClient.Failure.self) {
                try file.write(bytes.suffix(from: bytes.count / 4))
                try file.close()
            }
            let watcher = try share.secondPerson()
            try share.until("incomplete in STATUS") {
                watcher.text("outbox/STATUS.txt")?.contains("cat.jpg: incomplete: copied in part") ?? false
            }
            try share.until("the prompt waits") {
                watcher.text("outbox/STATUS.txt")?.contains("cat.prompt: waits until cat.jpg is complete") ?? false
            }
            #expect(try share.jobs().isEmpty)
            let again = try share.secondPerson()
            try again.put("inbox/cat.jpg", bytes)
            try share.until("a film") { again.names("outbox", ".json").count == 1 }
            #expect(try share.jobs().count == 1)
            #expect(again.names("outbox", ".mp4").allSatisfy { $0.hasPrefix("cat_i2v_") })
        }

        @Test("behaviour 2: a client killed in the middle of a copy without a hole")
        func killedClient() throws {
            let share = try ShareFolder()
            let bytes = ShareFolder.picture("cat", size: 24 << 20)
            try share.person.put("inbox/cat.prompt", "gate")
            let (program, arguments) = try share.smbclientCall("put - inbox/cat.jpg")
            let output = share.layout.state.appendingPathComponent("smbclient.out")
            let client = try ChildProcess(program, arguments, output: output)
            let sent = bytes.prefix(bytes.count - 1000)
            Thread.detachNewThread { try? client.input.write(contentsOf: sent) }
            try share.until("part of it is there") {
                (try? share.person.list("inbox"))?.contains { $0.name == "cat.jpg" && $0.size > 0 } ?? false
            }
            kill(client.pid, SIGKILL)
            client.exitStatus(waiting: true)
            try share.until("incomplete in STATUS") { share.status.contains("cat.jpg: incomplete: ") }
            try share.letPass()
            #expect(try share.jobs("cat").filter { $0.imageSHA256 != nil }.isEmpty)
        }

        @Test("behaviour 3: create, close at nothing, reopen, write, with ._ and .DS_Store beside: one job")
        func finderCopy() throws {
            let share = try ShareFolder()
            try share.person.put("inbox/._cat.prompt", "resource fork")
            try share.person.put("inbox/.DS_Store", "litter")
            try share.person.create("inbox/cat.prompt").close()
            try share.letPass()
            #expect(try share.jobs().isEmpty)
            let file = try share.person.open("inbox/cat.prompt", O_RDWR)
            try file.write(Data("a cat".utf8))
            try file.close()
            try share.person.setTime("inbox/cat.prompt", secondsSince1970: Self.oldTime)
            try share.untilFilms(1)
            try share.letPass()
            #expect(try share.jobs().count == 1)
            #expect(share.person.names("inbox").contains("._cat.prompt"))
        }

        @Test("behaviour 4: a file held open for writing over SMB is never started")
        func heldOpen() throws {
            let share = try ShareFolder()
            let file = try share.person.create("inbox/cat.prompt")
            try file.write(Data("a cat".utf8))
            try share.until("seen") { share.status.contains("cat.prompt: another program still writes to it") }
            try share.letPass()
            #expect(try share.jobs().isEmpty)
            try file.write(Data(" that runs".utf8))
            try file.close()
            try share.untilFilms(1)
            #expect(try share.jobs().map(\.promptGiven) == ["a cat that runs"])
        }

        @Test("behaviour 5: no temporary name of any client starts a job, renaming it does")
        func temporaryNames() throws {
            let share = try ShareFolder()
            let names = [
                "~gvfA1B2C3.tmp", "cat.jpg.part", "cat.jpg.filepart", "cat.jpg.crdownload", ".cat.jpg.swp", "._cat.jpg",
                ".DS_Store", "Thumbs.db", "desktop.ini", "~$cat.jpg", "_cat.jpg", "cat.jpg~",
            ]
            try share.person.put("rules/default.toml", "prompt = a cat\n")
            try share.untilRules(["default"])
            for name in names { try share.person.put("inbox/" + name, ShareFolder.picture(name)) }
            try share.letPass()
            #expect(try share.jobs().isEmpty)
            #expect(names.filter { share.status.contains($0) } == [])
            for (index, name) in names.enumerated() {
                try share.person.rename("inbox/" + name, "inbox/cat\(index).png")
            }
            try share.untilFilms(names.count)
            #expect(try share.jobs().count == names.count)
        }

        @Test("behaviour 6: opening and touching an accepted file over SMB creates no job")
        func merelyOpened() throws {
            let share = try ShareFolder()
            try share.person.put("rules/default.toml", "after = keep\n")
            try share.untilRules(["default"])
            try share.person.put("inbox/cat.prompt", "a cat")
            try share.untilFilms(1)
            try share.person.open("inbox/cat.prompt", O_RDWR).close()
            #expect(share.person.text("inbox/cat.prompt") == "a cat")
            try share.letPass()
            try share.person.setTime("inbox/cat.prompt", secondsSince1970: Self.oldTime)
            try share.person.open("inbox/cat.prompt", O_RDWR).close()
            try share.letPass()
            #expect(try share.jobs().count == 1)
            #expect(share.person.names("inbox").contains("cat.prompt"))
        }

        @Test("behaviour 7: image then prompt, and prompt then image, put by smbclient, give the same film")
        func pairInEitherOrder() throws {
            let films = try [["cat.jpg", "cat.prompt"], ["cat.prompt", "cat.jpg"]].map { order in
                let share = try ShareFolder { $0.pairWait = 3600 }
                let source = share.layout.state
                try ShareFolder.picture("cat").write(to: source.appendingPathComponent("cat.jpg"))
                try Data("seed = 7\n---\na cat".utf8).write(to: source.appendingPathComponent("cat.prompt"))
                try share.smbclient("lcd \(source.path)", "cd inbox", "put " + order[0], "put " + order[1])
                try share.untilFilms(1)
                #expect(share.outputs()[0].hasPrefix("cat_i2v_7_"))
                #expect(Set(share.person.names("inbox/_done")).isSuperset(of: order))
                return try share.person.get("outbox/" + share.outputs()[0])
            }
            #expect(films[0] == films[1])
        }

        @Test("behaviour 11: a tree of 1,000 files, put by recurse mput, moved in by one rename, is found completely")
        func movedTree() throws {
            let share = try ShareFolder(workers: .none)
            let source = share.layout.state.appendingPathComponent("source")
            for index in 0..<1000 {
                let place = source.appendingPathComponent("tree/a\(index % 10)/b\(index % 7)")
                try FileManager.default.createDirectory(at: place, withIntermediateDirectories: true)
                try Data("prompt \(index)".utf8).write(to: place.appendingPathComponent("p\(index).prompt"))
            }
            try share.smbclient("recurse ON", "prompt OFF", "lcd \(source.path)", "mput tree")
            #expect(try share.jobs().isEmpty)
            try share.person.rename("tree", "inbox/tree")
            try share.until("1,000 jobs", within: 900) { try share.ledger.counts()[.queued] == 1000 }
            #expect(Set(try share.jobs().map(\.stem)).count == 1000)
        }
    }
}

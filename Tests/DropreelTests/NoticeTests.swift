import Foundation
import Synchronization
import TestSupport
import Testing
import WatchFolder

@testable import Rules
@testable import dropreel

@Suite struct NoticeTests {
    private let failure = ServiceEvent.failed(
        name: "night/cat", ServiceError(.badInput, "This is no picture.", hint: "Save it as JPEG."))

    private func settings(
        webhook: String? = "http://127.0.0.1:1/x", ntfy: String? = nil, token: String? = nil,
        events: ServiceConfiguration.NoticeEvents = .all, window: Double = 0
    ) -> ServiceConfiguration.Notices {
        .init(webhook: webhook, ntfy: ntfy, ntfyTokenFile: token, events: events, window: window)
    }

    @Test func aNoticeSaysHowManyAndWhich() throws {
        var notice = Notice()
        notice.add(failure, includesDone: true)
        for index in 1...12 { notice.add(.done(name: "a\(index)", output: "a\(index).mp4"), includesDone: true) }
        notice.add(.paused("The disk is full."), includesDone: true)
        #expect(notice.title == "12 films done, 1 failed")
        let lines = notice.text.split(separator: "\n").map(String.init)
        #expect(lines[0] == "Paused: The disk is full.")
        #expect(lines[1] == "Failed: night/cat: This is no picture. Save it as JPEG.")
        #expect(lines.last == "... and 2 more films" && lines.count == 13)
        let object = try JSONSerialization.jsonObject(with: Data(notice.json().utf8)) as? [String: Any]
        #expect(object?["schema"] as? String == "dropreel.notice/1")
        #expect((object?["done"] as? [Any])?.count == 12)
        var quiet = Notice()
        quiet.add(.done(name: "a", output: "a.mp4"), includesDone: false)
        #expect(quiet.isEmpty)
    }

    @Test func eventsOfOneWindowAreSentAsOne() {
        let sent = Mutex<[Notice]>([])
        let batch = NoticeBatch(settings(window: 3600)) { notice, _ in sent.withLock { $0.append(notice) } }
        batch.add(failure)
        batch.add(.done(name: "a", output: "a.mp4"))
        #expect(sent.withLock(\.count) == 0)
        #expect(batch.finish(within: 20))
        #expect(sent.withLock { $0.map(\.title) } == ["1 film done, 1 failed"])
    }

    @Test func nothingIsSentWhereNothingIsAskedFor() {
        let sent = Mutex(0)
        let silent = NoticeBatch(settings(webhook: nil)) { _, _ in sent.withLock { $0 += 1 } }
        silent.add(failure)
        #expect(silent.finish(within: 20))
        let failuresOnly = NoticeBatch(settings(events: .failed)) { _, _ in sent.withLock { $0 += 1 } }
        failuresOnly.add(.done(name: "a", output: "a.mp4"))
        #expect(failuresOnly.finish(within: 20))
        #expect(sent.withLock { $0 } == 0)
    }

    @Test func aWindowThatEndsIsSentWithoutAnEnd() {
        let arrived = DispatchSemaphore(value: 0)
        let batch = NoticeBatch(settings(window: 0.05)) { _, _ in arrived.signal() }
        batch.add(failure)
        #expect(arrived.wait(timeout: .now() + 20) == .success)
        batch.add(failure)
        #expect(arrived.wait(timeout: .now() + 20) == .success)
        batch.finish(within: 20)
    }

    /// A curl of the test's own, that keeps what it is told.
    private func curl(in folder: ScratchFolder, status: Int) throws -> String {
        let script = folder.url.appending(path: "curl")
        let text = """
            #!/bin/sh
            echo "$@" >> "\(folder.url.path)/arguments"
            cat >> "\(folder.url.path)/request"
            [ \(status) = 0 ] || echo "curl: (22) The requested URL returned error: 403" >&2
            exit \(status)
            """
        try Data(text.utf8).write(to: script)
        chmod(script.path, 0o755)
        return folder.url.path + ":/bin:/usr/bin"
    }

    @Test func addressesTokensAndTextsReachCurlOnItsInputAlone() throws {
        let folder = try ScratchFolder()
        let token = folder.url.appending(path: "token")
        try Data("tk_secret\n".utf8).write(to: token)
        var notice = Notice()
        notice.add(failure, includesDone: true)
        notice.service = ["say \"hi\"\\n\nline two"]
        let delivery = NoticeDelivery(
            settings: settings(
                webhook: "https://hook.example/a", ntfy: "https://ntfy.example/films", token: token.path),
            searchPath: try curl(in: folder, status: 0))
        #expect(delivery.send(notice).isEmpty)
        let request = try String(contentsOf: folder.url.appending(path: "request"), encoding: .utf8)
        #expect(request.contains("url = \"https://hook.example/a\"\n"))
        #expect(request.contains("url = \"https://ntfy.example/films\"\n"))
        #expect(request.contains("header = \"Authorization: Bearer tk_secret\"\n"))
        #expect(request.contains("data-raw = \"say \\\"hi\\\"\\\\n\\nline two\\nFailed: night/cat: "))
        let arguments = try String(contentsOf: folder.url.appending(path: "arguments"), encoding: .utf8)
        #expect(!arguments.contains("example") && !arguments.contains("secret"))
    }

    @Test func whatGoesWrongIsSaid() throws {
        let folder = try ScratchFolder()
        var notice = Notice()
        notice.service = ["x"]
        let refused = NoticeDelivery(settings: settings(), searchPath: try curl(in: folder, status: 22)).send(notice)
        #expect(refused.map(\.description) == ["webhook: curl: (22) The requested URL returned error: 403"])
        let missing = NoticeDelivery(settings: settings(), searchPath: "/nowhere").send(notice)
        #expect(missing.map(\.description) == ["webhook: curl is not installed"])
        let blind = NoticeDelivery(
            settings: settings(webhook: nil, ntfy: "http://x", token: "/nowhere/token"), searchPath: "/bin:/usr/bin")
        #expect(blind.send(notice).first?.description.contains("token file /nowhere/token cannot be read") == true)
    }
}

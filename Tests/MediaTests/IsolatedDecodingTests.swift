import Foundation
import TestSupport
import Testing

@testable import Media

@Suite("Decoding in a process of its own")
struct IsolatedDecodingTests {
    static let executable = BuiltProgram.url("dropreel-decoding-child").path

    private let decoder = IsolatedDecoder(executable: executable)

    private func acting(_ act: String) -> IsolatedDecoder {
        IsolatedDecoder(executable: Self.executable, arguments: ["act", act])
    }

    private func withFile<Result>(_ bytes: [UInt8], _ body: (Int32) throws -> Result) throws -> Result {
        let folder = TemporaryFolder()
        let path = folder.file("x")
        try PictureFile.write(bytes, to: path)
        let file = try OpenFile(path, flags: O_RDONLY)
        return try withExtendedLifetime(folder) { try body(file.descriptor) }
    }

    @Test("every picture comes back byte for byte as decoded in this process", arguments: GoldenImage.all)
    func same(_ golden: GoldenImage) throws {
        let bytes = try golden.bytes()
        for options in [ImageDecoder.Options(), .upstream] {
            var decoder = decoder
            decoder.imageOptions = options
            let expected = try ImageDecoder.decode(bytes, options: options)
            try withFile(bytes) { (descriptor: Int32) throws in
                #expect(try decoder.picture(descriptor: descriptor) == expected)
                #expect(try decoder.pictureSize(descriptor: descriptor) == (expected.width, expected.height))
            }
        }
    }

    @Test("a broken picture is the same error as in this process")
    func sameErrors() throws {
        let whole = try GoldenImage.bytes("inputs/progressive.jpg")
        var flipped = try GoldenImage.bytes("inputs/rgb.png")
        flipped[flipped.count / 2] ^= 4
        let cases = [
            [], Array(whole.prefix(whole.count / 2)), flipped, Array("once upon a time".utf8),
            Array(whole.prefix(3)) + [UInt8](repeating: 7, count: 100),
        ]
        for bytes in cases {
            let expected = mediaError { _ = try ImageDecoder.decode(bytes) }
            let found = try withFile(bytes) { file in mediaError { _ = try decoder.picture(descriptor: file) } }
            #expect(found == expected && found != nil)
        }
    }

    @Test("the descriptor's position neither matters nor moves")
    func position() throws {
        try withFile(try GoldenImage.bytes("inputs/baseline.jpg")) { (descriptor: Int32) throws in
            lseek(descriptor, 100, SEEK_SET)
            #expect(try decoder.pictureSize(descriptor: descriptor) == (61, 47))
            #expect(lseek(descriptor, 0, SEEK_CUR) == 100)
        }
    }

    @Test("a link, a folder and a pipe are not read")
    func notFiles() throws {
        let folder = TemporaryFolder()
        try PictureFile.write(try GoldenImage.bytes("inputs/rgb.png"), to: folder.file("x.png"))
        #expect(try decoder.pictureSize(path: folder.file("x.png")).width > 0)
        symlink("x.png", folder.file("link.png"))
        try #require(mkfifo(folder.file("pipe.png"), 0o600) == 0)
        #expect(mediaError { _ = try decoder.pictureSize(path: folder.file("link.png")) }?.errno == ELOOP)
        #expect(mediaError { _ = try decoder.pictureSize(path: folder.file("pipe.png")) }?.code == .unsupported)
        #expect(mediaError { _ = try decoder.pictureSize(path: folder.path) }?.code == .unsupported)
        #expect(mediaError { _ = try decoder.pictureSize(path: folder.file("none.png")) }?.errno == ENOENT)
    }

    // MARK: What the sandbox denies

    /// The exit status (an error number, 0 for success), or minus the signal.
    private func attempt(_ what: String) throws -> Int32 {
        let order = DecodingOrder(.pictureSize(.init(), .init()), processorSeconds: 5)
        let process = Process()
        process.executableURL = URL(fileURLWithPath: Self.executable)
        process.arguments = ["attempt", what, order.text]
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        return process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus
    }

    @Test("the sandbox is whole on this kernel, or the test says what is missing")
    func measures() throws {
        let measures = try decoder.measures()
        #expect(measures.isSuperset(of: .essential), "in force: \(measures.text)")
        #expect(SandboxMeasures.all.text.split(separator: ",").count == 6 && SandboxMeasures([]).text == "none")
    }

    @Test(
        "no file, no socket, no process, no code of its own",
        arguments: [
            "read-file", "make-file", "remove-file", "list-folder", "inspect-file", "change-mode", "socket", "pair",
            "pipe", "duplicate", "signal", "sleep", "map-code", "protect-code", "raise-limit", "namespace",
            "io-uring",
        ])
    func refused(_ what: String) throws {
        #expect(try attempt(what) == EPERM)
    }

    @Test("no thread and no child", arguments: ["thread", "fork"])
    func alone(_ what: String) throws {
        #expect([EPERM, EAGAIN].contains(try attempt(what)))
    }

    @Test("what only an attacker does ends the process", arguments: ["exec", "trace", "read-others", "kernel-program"])
    func killed(_ what: String) throws {
        #expect(try attempt(what) == -SIGSYS)
    }

    @Test("computing goes on")
    func allowed() throws {
        #expect(try attempt("nothing") == 0)
    }

    // MARK: What becomes of a decoder gone astray

    @Test("an endless loop is ended by its processor time")
    func loop() throws {
        var decoder = acting("loop")
        decoder.processorSeconds = 1
        let error = mediaError { _ = try decoder.pictureSize(descriptor: 0) }
        #expect(error?.code == .tooLarge && error?.message.contains("1 s of processor time") == true)
    }

    @Test("one that hangs is ended by the clock")
    func hang() throws {
        var decoder = acting("hang")
        decoder.seconds = 1
        let start = ContinuousClock.now
        let error = mediaError { _ = try decoder.pictureSize(descriptor: 0) }
        #expect(error?.code == .tooLarge && error?.message.contains("more than 1 s to") == true)
        #expect(ContinuousClock.now - start < .seconds(10))
    }

    @Test("a memory bomb ends as an error, not as a full host")
    func memory() throws {
        var decoder = acting("memory")
        decoder.imageLimits.decodingByteCount = 256 << 20
        #expect(mediaError { _ = try decoder.pictureSize(descriptor: 0) }?.code == .corrupt)
    }

    @Test("a real picture that needs more than it may is too large")
    func memoryOfAPicture() throws {
        var png = PNGBuilder(width: 4_000, height: 4_000, depth: 8, colorType: 2)
        png.chunk("IDAT", [0x78, 0x01])
        var decoder = decoder
        #expect(
            try withFile(png.bytes) { file in mediaError { _ = try decoder.pictureSize(descriptor: file) } }?.code
                == .incomplete)
        decoder.imageLimits.decodingByteCount = 40 << 20
        let code = try withFile(png.bytes) { file in mediaError { _ = try decoder.pictureSize(descriptor: file) } }?
            .code
        #expect(code == .corrupt || code == .tooLarge)
    }

    @Test(
        "whatever it says or leaves unsaid is an error of the picture",
        arguments: ["crash", "silent", "babble", "huge-picture", "cut-picture", "long-text"])
    func takenOver(_ act: String) throws {
        let error = mediaError { _ = try acting(act).picture(descriptor: 0) }
        #expect(error?.code == .corrupt && error?.message.hasPrefix("the picture cannot be decoded") == true)
    }

    @Test("its words reach people as one line of plain text")
    func words() throws {
        let error = mediaError { _ = try acting("evil-text").pictureSize(descriptor: 0) }
        #expect(error?.message == "a\u{FFFD}b\u{FFFD}[31m\u{FFFD}c\u{FFFD}\u{FFFD}" && error?.hint == "")
    }

    @Test("more bytes than the picture has are not read")
    func endless() throws {
        #expect(try acting("endless-pixels").picture(descriptor: 0).pixels == [1, 2, 3, 4, 5, 6])
    }

    @Test("what is no fault of the picture is told as such")
    func notThePicture() {
        for act in ["killed", "status"] {
            #expect(mediaError { _ = try acting(act).pictureSize(descriptor: 0) }?.code == .unavailable)
        }
        let missing = IsolatedDecoder(executable: "/nonexistent")
        #expect(mediaError { _ = try missing.pictureSize(descriptor: 0) }?.errno == ENOENT)
        #expect(mediaError { _ = try missing.measures() }?.code == .unavailable)
    }

    /// In a process of its own: what other tests have open does not count. Neither does what a runtime opens for itself
    /// when it first needs it: all is done once before the count, and event queues (`anon_inode`) are left out.
    @Test("nothing stays behind: no process, no descriptor")
    func leavesNothing() async {
        let result = await #expect(processExitsWith: .success, observing: [\.standardErrorContent]) {
            func descriptors() -> Set<String> {
                let open = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")) ?? []
                // The listing's own descriptor is closed by now, and has no target any more.
                let targets = open.compactMap { number in
                    (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/" + number))
                        .map { number + " " + $0 }
                }
                return Set(targets.filter { !$0.contains(" anon_inode:") })
            }
            func everyAct() {
                for act in ["crash", "babble", "endless-pixels", "status"] {
                    let decoder = IsolatedDecoder(executable: Self.executable, arguments: ["act", act])
                    _ = try? decoder.picture(descriptor: 0)
                }
            }
            everyAct()
            let before = descriptors()
            everyAct()
            var failures: [String] = []
            let child = waitpid(-1, nil, WNOHANG)
            if child != -1 || errno != ECHILD { failures.append("child \(child), errno \(errno)") }
            failures += descriptors().subtracting(before).map { "open: " + $0 }
            guard !failures.isEmpty else { return }
            FileHandle.standardError.write(Data((failures.joined(separator: "\n") + "\n").utf8))
            exit(EXIT_FAILURE)
        }
        let said = (result?.standardErrorContent).map { String(decoding: $0, as: UTF8.self) } ?? ""
        #expect(result != nil, "\(said)")
    }

    @Test("behaviour 19: a bomb is refused within 64 MiB of address space and a second")
    func bomb() throws {
        var png = PNGBuilder(width: 60_000, height: 60_000, depth: 8, colorType: 6)
        png.chunk("IDAT", [UInt8](repeating: 0x55, count: 1 << 20))
        var decoder = decoder
        decoder.imageLimits.decodingByteCount = 64 << 20
        decoder.processorSeconds = 1
        let error = try withFile(png.bytes) { file in mediaError { _ = try decoder.pictureSize(descriptor: file) } }
        #expect(error?.code == .tooLarge && error?.message.contains("60000 x 60000") == true)
    }

    @Test("an order survives its text, and no other text is one")
    func order() {
        var (images, sounds) = (ImageLimits(), SoundLimits())
        (images.side, sounds.frameCount) = (99, 99)
        let tasks: [DecodingOrder.Task] = [
            .pictureSize(.init(), images), .picture(.upstream, images), .sound(frameCount: 98, sounds),
        ]
        for task in tasks {
            let order = DecodingOrder(task, processorSeconds: 7)
            #expect(DecodingOrder(order.text) == order)
            for text in ["", "1", "1,2", order.text + ",1", "-" + order.text, order.text.replacing("99", with: "x")] {
                #expect(DecodingOrder(text) == nil)
            }
        }
        // More samples than its own limit.
        let greedy = DecodingOrder(.sound(frameCount: 100, sounds), processorSeconds: 7)
        #expect(DecodingOrder(greedy.text) == nil)
    }
}

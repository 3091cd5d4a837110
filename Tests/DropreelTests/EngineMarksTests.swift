import Foundation
import Generation
import Media
import Rules
import TestSupport
import Testing
import WatchFolder

@testable import dropreel

@Suite struct EngineMarksTests {
    private final class Collector: FrameSink {
        var frames: [[UInt8]] = []
        func append(_ frames: [UInt8], count: Int) throws {
            let size = frames.count / count
            for frame in 0..<count { self.frames.append(Array(frames[frame * size..<(frame + 1) * size])) }
        }
        func finish() throws {}
    }

    @Test func theLabelIsOnTheFirstTwoSecondsAlone() throws {
        let size = 64 * 48 * 3
        let collector = Collector()
        let sink = try LabellingSink(collector, text: "AI", width: 64, height: 48, framesPerSecond: 4)
        // Chunks as a decoder makes them: one frame, then four at a time.
        for count in [1, 4, 4, 4] {
            try sink.append([UInt8](repeating: 100, count: size * count), count: count)
        }
        #expect(collector.frames.count == 13)
        let isLabelled = collector.frames.map { Set($0) == [25, 100, 255] }
        #expect(isLabelled == (0..<13).map { $0 < 8 })
        #expect(collector.frames[8...].allSatisfy { Set($0) == [100] })
    }

    @Test func withoutALabelFramesPassAsTheyAre() throws {
        let collector = Collector()
        let sink = try LabellingSink(collector, text: "", width: 64, height: 48, framesPerSecond: 4)
        try sink.append([UInt8](repeating: 100, count: 64 * 48 * 3), count: 1)
        #expect(Set(collector.frames[0]) == [100])
    }

    private func order(image: URL?) throws -> RenderOrder {
        let models = ModelCatalogue(models: [
            ModelLimits(
                name: "M", modes: [.textToVideo, .imageToVideo],
                resolutions: ["48p": ["16:9": PixelSize(width: 64, height: 48)]], defaultResolution: "48p",
                frameRange: 5...161)
        ])
        var layer = SettingLayer()
        layer[.visibleLabel] = SourcedValue(.text("AI"), source: "rules/a.toml", line: 1)
        let settings = try JobSettings.resolve(
            layer, mode: image == nil ? .textToVideo : .imageToVideo, models: models)
        return RenderOrder(
            jobID: JobID(at: Date()), epoch: 1, mode: settings.mode, promptGiven: "x", promptUsed: "x",
            imageSnapshot: image, settings: settings, seed: 1, metadata: .null)
    }

    private func picture(_ folder: ScratchFolder, xmp type: SyntheticMediaXMP.DigitalSourceType?) throws -> URL {
        let image = RGBImage(width: 16, height: 16, pixels: [UInt8](repeating: 90, count: 768))
        var bytes = try PosterWriter.encode(image)
        if let type {
            let packet = SyntheticMediaXMP.packet(creatorTool: "x", digitalSourceType: type)
            let body = Array("http://ns.adobe.com/xap/1.0/\0".utf8) + Array(packet.utf8)
            let head: [UInt8] = [0xFF, 0xE1, UInt8((body.count + 2) >> 8), UInt8((body.count + 2) & 255)]
            bytes.insert(contentsOf: head + body, at: 2)
        }
        let url = folder.url.appending(path: "\(type?.rawValue ?? "plain").jpg")
        try Data(bytes).write(to: url)
        return url
    }

    @Test func aFilmFromAPhotographIsAComposite() throws {
        let folder = try ScratchFolder()
        #expect(try order(image: nil).digitalSourceType == .trainedAlgorithmicMedia)
        #expect(
            try order(image: picture(folder, xmp: nil)).digitalSourceType == .compositeWithTrainedAlgorithmicMedia)
        #expect(
            try order(image: picture(folder, xmp: .compositeWithTrainedAlgorithmicMedia)).digitalSourceType
                == .compositeWithTrainedAlgorithmicMedia)
        #expect(
            try order(image: picture(folder, xmp: .trainedAlgorithmicMedia)).digitalSourceType
                == .trainedAlgorithmicMedia)
    }

    @Test func theLogNamesTheMarksOfThePicture() throws {
        let folder = try ScratchFolder()
        let fields = try order(image: picture(folder, xmp: .trainedAlgorithmicMedia)).markFields()
        #expect(fields["image_marks"]?.objectValue?["xmp"] == .bool(true))
        #expect(fields["image_marks"]?.objectValue?["c2pa_manifest"] == .bool(false))
        #expect(
            fields["image_marks"]?.objectValue?["digital_source_type"]?.stringValue?.hasSuffix(
                "/trainedAlgorithmicMedia") == true)
        #expect(fields["marks"]?.objectValue?["visible_label"]?.stringValue == "AI")
        #expect(try order(image: nil).markFields()["image_marks"] == nil)
    }

    @Test func whatCountsAtTheNextStartAloneIsNamed() throws {
        func read(_ text: String) throws -> ServiceConfiguration {
            try ServiceConfiguration.read(Array(text.utf8), source: "x", directory: "/a/etc")
        }
        let old = try read("")
        let new = try read("[engine]\nthreads = 3\n[metrics]\nport = 9\n[jobs]\nretention = 1 d\n[log]\nlevel = debug")
        #expect(old.needingRestart(comparedTo: new) == ["engine", "metrics.port"])
        let held = old.taking(over: new)
        #expect(held.jobs.retention == 86_400 && held.log.level == .debug)
        #expect(held.engine.threads == 0 && held.metrics.port == nil)
        #expect(old.needingRestart(comparedTo: old).isEmpty)
    }
}

import Foundation
import Generation
import Sampling
import TestSupport
import Testing
import TinyModels

struct ManifestTests {
    private func read(_ text: String) throws -> ModelManifest { try ModelManifest(json: Data(text.utf8)) }

    private static let least = """
        {"name": "Wan2.1-1.3B", "version": "1", "modes": {"t2v": {"transformer": "a.pth"}}, "vae": "v.pth",
         "text_encoder": "t.pth", "tokenizer": "google"}
        """

    @Test func whatIsLeftOutIsUpstreams() throws {
        let manifest = try read(Self.least)
        #expect(manifest.defaultResolution == "480p" && manifest.defaultAspectRatio == "16:9")
        #expect(manifest.resolutions == .wan)
        let frames = manifest.frames
        #expect(frames.standard == 81 && frames.minimum == 33 && frames.maximum == 161)
        #expect(manifest.framesPerSecond == 16)
        #expect(manifest.defaults.attention == [.t2v: .sagesla, .i2v: .sagesla])
        #expect(manifest.defaults.slaTopK == [.t2v: 0.1, .i2v: 0.1] && manifest.defaults.slaTopKOfOtherFilms.isEmpty)
        #expect(manifest.defaults.sigmaMax == [.t2v: 80, .i2v: 200] && manifest.defaults.steps == 4)
        #expect(manifest.defaults.sampler == [.t2v: .sde, .i2v: .ode] && manifest.defaults.boundary == 0.9)
        #expect(!manifest.defaults.exactFirstFrame)
    }

    @Test func aSettingMayDifferByMode() throws {
        let text = Self.least.replacing(
            "\"version\"",
            with:
                #""defaults": {"attention": {"i2v": "original"}, "sla_topk": 0.2, "sla_topk_other": {"t2v": 0.5}, "sampler": "ode", "exact_first_frame": true}, "version""#
        )
        let defaults = try read(text).defaults
        #expect(defaults.attention == [.t2v: .sagesla, .i2v: .original])
        #expect(defaults.slaTopK == [.t2v: 0.2, .i2v: 0.2])
        #expect(defaults.slaTopKOfOtherFilms == [.t2v: 0.5])
        #expect(defaults.sampler == [.t2v: .ode, .i2v: .ode])
        #expect(defaults.exactFirstFrame)
    }

    @Test func tinyManifestIsReadWhole() throws {
        let manifest = try read(TinyModel.manifest)
        #expect(manifest.modes[.i2v] == .experts(highNoise: "high.safetensors", lowNoise: "low.safetensors"))
        #expect(manifest.resolutions.sizes["48p"]?["16:9"] == FrameSize(width: 64, height: 48))
        #expect(manifest.defaultResolution == "48p")
    }

    /// What is changed, and what the error must name.
    @Test(arguments: [
        ("\"name\": \"Wan2.1-1.3B\"", "\"name\": \"\"", "model.json: name"),
        ("\"name\": \"Wan2.1-1.3B\"", "\"name\": 3", "model.json: name"),
        ("\"version\": \"1\", ", "", "model.json: version"),
        ("\"vae\": \"v.pth\"", "\"vae\": \"../v.pth\"", "model.json: vae"),
        ("\"vae\": \"v.pth\"", "\"vae\": \"/etc/passwd\"", "model.json: vae"),
        ("\"tokenizer\": \"google\"", "\"tokenizer\": \"..\"", "model.json: tokenizer"),
        ("{\"transformer\": \"a.pth\"}", "{\"transformer\": \"sub/a.pth\"}", "model.json: modes.t2v.transformer"),
        ("{\"transformer\": \"a.pth\"}", "{\"high_noise\": \"a.pth\"}", "model.json: modes.t2v.low_noise"),
        ("{\"t2v\"", "{\"v2v\"", "model.json: modes.v2v"),
        ("{\"t2v\": {\"transformer\": \"a.pth\"}}", "{}", "model.json: modes"),
        ("\"vae\"", "\"fps\": 16.5, \"vae\"", "model.json: fps"),
        ("\"vae\"", "\"fps\": true, \"vae\"", "model.json: fps"),
        ("\"vae\"", "\"fpss\": 16, \"vae\"", "model.json: fpss"),
        ("\"vae\"", "\"frames\": {\"default\": 80}, \"vae\"", "model.json: frames.default"),
        ("\"vae\"", "\"frames\": {\"default\": 81, \"maximum\": 49}, \"vae\"", "model.json: frames"),
        ("\"vae\"", "\"resolutions\": {\"1p\": {\"16:9\": [250, 144]}}, \"vae\"", "model.json: resolutions.1p.16:9"),
        ("\"vae\"", "\"resolutions\": {\"1p\": {\"16:9\": [256]}}, \"vae\"", "model.json: resolutions.1p.16:9"),
        ("\"vae\"", "\"resolutions\": {}, \"vae\"", "model.json: resolutions"),
        ("\"vae\"", "\"default_resolution\": \"9p\", \"vae\"", "model.json: default_resolution"),
        ("\"vae\"", "\"defaults\": {\"attention\": \"flash\"}, \"vae\"", "model.json: defaults.attention"),
        ("\"vae\"", "\"defaults\": {\"steps\": 9}, \"vae\"", "model.json: defaults.steps"),
        ("\"vae\"", "\"defaults\": {\"sla_topk\": 0}, \"vae\"", "model.json: defaults.sla_topk"),
        ("\"vae\"", "\"defaults\": {\"sigma_max\": {\"t2v\": -1}}, \"vae\"", "model.json: defaults.sigma_max.t2v"),
        ("\"vae\"", "\"defaults\": {\"sampler\": {\"x\": \"ode\"}}, \"vae\"", "model.json: defaults.sampler.x"),
        ("{\"name\"", "[{\"name\"", "model.json"),
    ])
    func errorsNameFileAndKey(found: String, replacement: String, named: String) throws {
        let text = Self.least.replacingOccurrences(of: found, with: replacement)
        #expect(text != Self.least)
        let error = #expect(throws: GenerationError.self) { try read(text) }
        #expect(error?.code == .manifest)
        #expect(error?.message.hasPrefix(named) == true, "\(error?.message ?? "none")")
    }

    @Test func deepNestingIsNoCrash() {
        let deep = String(repeating: "[", count: 30_000)
        #expect(throws: GenerationError.self) { try read(deep) }
    }

    @Test func libraryFindsModelsAndTellsWhatIsWrong() throws {
        let scratch = try ScratchFolder()
        try TinyModel.write(in: scratch.url)
        let broken = scratch.url.appending(path: "broken")
        try FileManager.default.createDirectory(at: broken, withIntermediateDirectories: true)
        try Data(Self.least.utf8).write(to: broken.appending(path: "model.json"))
        let library = ModelLibrary(directories: [scratch.url, scratch.url.appending(path: "nowhere")])
        #expect(library.models.map(\.name) == [TinyModel.name])
        #expect(library.problems.map(\.message) == ["broken/model.json: names a.pth, which is not there"])
        #expect(try library.model("tiny").modes == [.t2v, .i2v])
        let unknown = #expect(throws: GenerationError.self) { try library.model("Wan") }
        #expect(unknown?.hint == "use one of Tiny")
        #expect(ModelLibrary(directories: [scratch.url.appending(path: "tiny")]).models.count == 1)
    }
}

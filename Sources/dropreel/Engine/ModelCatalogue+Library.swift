import Foundation
import Generation
import Rules
import Sampling

extension ModelCatalogue {
    /// What the rules may ask of the installed models.
    init(_ library: ModelLibrary) {
        self.init(models: library.models.map(ModelLimits.init))
    }
}

extension ModelLimits {
    init(_ model: Model) {
        let manifest = model.manifest
        let resolutions = manifest.resolutions.sizes.mapValues {
            $0.mapValues { PixelSize(width: $0.width, height: $0.height) }
        }
        var defaults: [Rules.GenerationMode: Defaults] = [:]
        for mode in model.modes {
            defaults[Rules.GenerationMode(mode)] = Defaults(
                sampler: manifest.defaults.sampler[mode] == .ode ? .ode : .sde,
                sigmaMax: manifest.defaults.sigmaMax[mode], boundary: manifest.defaults.boundary,
                exactFirstFrame: mode == .i2v ? manifest.defaults.exactFirstFrame : nil,
                attention: manifest.defaults.attention[mode].map(AttentionKind.init),
                slaTopK: manifest.defaults.slaTopK[mode],
                slaTopKOfOtherFilms: manifest.defaults.slaTopKOfOtherFilms[mode])
        }
        self.init(
            name: manifest.name, modes: model.modes.map(Rules.GenerationMode.init), resolutions: resolutions,
            defaultResolution: manifest.defaultResolution, defaultAspectRatio: manifest.defaultAspectRatio,
            frameRange: manifest.frames.minimum...manifest.frames.maximum, defaultFrames: manifest.frames.standard,
            defaultFPS: manifest.framesPerSecond, defaultQuantLinear: manifest.defaults.quantizesLinears,
            defaults: defaults)
    }
}

extension Rules.GenerationMode {
    init(_ mode: Generation.GenerationMode) {
        switch mode {
        case .t2v: self = .textToVideo
        case .i2v: self = .imageToVideo
        }
    }
}

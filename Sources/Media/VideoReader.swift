import CFFmpeg

/// Decodes frames of a film into RGB, for looking at them.
public enum VideoReader {
    /// - Parameters:
    ///   - path: an MP4 file.
    ///   - indexes: frame numbers in the order of display, from 0; any order, repeats allowed.
    /// - Returns: one picture for each index, in the order of `indexes`.
    /// - Throws: `MediaError`; `.unsupported` where the film has no such frame.
    public static func frames(path: String, at indexes: [Int]) throws -> [RGBImage] {
        let wanted = Set(indexes)
        guard let last = wanted.max(), wanted.allSatisfy({ $0 >= 0 }) else {
            if wanted.isEmpty { return [] }
            throw MediaError(.unsupported, "a frame number below 0", hint: "frames are counted from 0")
        }
        var found: [Int: RGBImage] = [:]
        let decoder = try FilmDecoder(path: path)
        var index = 0
        try decoder.decode { frame in
            if wanted.contains(index) { found[index] = try FilmDecoder.rgb(frame) }
            index += 1
            return index <= last
        }
        return try indexes.map { wanted in
            guard let image = found[wanted] else {
                throw MediaError(
                    .unsupported, "\(decoder.name) has no frame \(wanted)",
                    hint: "it has \(index) frames, counted from 0")
            }
            return image
        }
    }
}

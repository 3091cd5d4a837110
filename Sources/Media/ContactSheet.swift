/// One picture of frames taken evenly from a film, three beside each other.
public enum ContactSheet {
    public static let columnCount = 3
    public static let tileCount = 9
    /// Longest side of one tile, in pixels.
    static let tileLimit = 480
    /// Pixels between tiles and around them.
    static let gap = 4
    /// Grey value between the tiles.
    static let ground: UInt8 = 24

    /// Frame numbers for a film of `frameCount` frames, first and last among them; every frame where there are fewer
    /// than nine.
    public static func indexes(frameCount: Int) -> [Int] {
        guard frameCount > tileCount else { return Array(0..<max(frameCount, 0)) }
        return (0..<tileCount).map { ($0 * (frameCount - 1) + (tileCount - 1) / 2) / (tileCount - 1) }
    }

    /// - Parameter frames: of one size, in reading order.
    /// - Returns: tiles of the frames' own shape, none larger than the frames.
    /// - Precondition: at least one frame.
    public static func compose(_ frames: [RGBImage]) -> RGBImage {
        let (width, height) = (frames[0].width, frames[0].height)
        let longest = max(width, height)
        let tileWidth = longest <= tileLimit ? width : max(1, (width * tileLimit + longest / 2) / longest)
        let tileHeight = longest <= tileLimit ? height : max(1, (height * tileLimit + longest / 2) / longest)
        let columns = min(columnCount, frames.count)
        let rows = (frames.count + columns - 1) / columns
        let sheetWidth = columns * (tileWidth + gap) + gap
        let sheetHeight = rows * (tileHeight + gap) + gap
        var pixels = [UInt8](repeating: ground, count: sheetWidth * sheetHeight * 3)
        for (index, frame) in frames.enumerated() {
            let tile = Resizer.resize(frame, width: tileWidth, height: tileHeight)
            let left = gap + index % columns * (tileWidth + gap)
            let top = gap + index / columns * (tileHeight + gap)
            for y in 0..<tileHeight {
                let target = ((top + y) * sheetWidth + left) * 3
                let source = y * tileWidth * 3
                pixels.replaceSubrange(
                    target..<(target + tileWidth * 3), with: tile.pixels[source..<(source + tileWidth * 3)])
            }
        }
        return RGBImage(width: sheetWidth, height: sheetHeight, pixels: pixels)
    }

    /// The sheet of a finished film.
    /// - Throws: `MediaError`.
    public static func make(film path: String, frameCount: Int) throws -> RGBImage {
        compose(try VideoReader.frames(path: path, at: indexes(frameCount: frameCount)))
    }
}

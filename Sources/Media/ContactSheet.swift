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
    public static func compose(_ frames: [RGBImage]) -> RGBImage { arrange(frames.map(tile)) }

    /// A frame as the sheet shows it.
    public static func tile(_ frame: RGBImage) -> RGBImage {
        let longest = max(frame.width, frame.height)
        guard longest > tileLimit else { return frame }
        return Resizer.resize(
            frame, width: max(1, (frame.width * tileLimit + longest / 2) / longest),
            height: max(1, (frame.height * tileLimit + longest / 2) / longest))
    }

    /// - Parameter tiles: as `tile` made them, of one size, in reading order; at least one.
    public static func arrange(_ tiles: [RGBImage]) -> RGBImage {
        let (tileWidth, tileHeight) = (tiles[0].width, tiles[0].height)
        let columns = min(columnCount, tiles.count)
        let rows = (tiles.count + columns - 1) / columns
        let sheetWidth = columns * (tileWidth + gap) + gap
        let sheetHeight = rows * (tileHeight + gap) + gap
        var pixels = [UInt8](repeating: ground, count: sheetWidth * sheetHeight * 3)
        for (index, tile) in tiles.enumerated() {
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
}

// SPDX-License-Identifier: MIT
#include "nn/measure/road.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "nn/modules/normal_numbers.h"

namespace mirilla::nn {

namespace {

constexpr size_t kColours = 3;
using Colour = std::array<double, kColours>;

struct Neighbour {
  int dx, dy;
  double weight;
};
constexpr std::array<Neighbour, 8> kNeighbours = {{{1, 1, 1.0 / 12},
                                                   {-1, 1, 1.0 / 12},
                                                   {1, -1, 1.0 / 12},
                                                   {-1, -1, 1.0 / 12},
                                                   {1, 0, 1.0 / 6},
                                                   {-1, 0, 1.0 / 6},
                                                   {0, 1, 1.0 / 6},
                                                   {0, -1, 1.0 / 6}}};

// A x = b over the missing pixels. A is the Laplacian of the pixels' neighbourhood, with the known pixels moved to the right side:
// symmetric and positive definite as soon as one pixel is known.
struct System {
  std::vector<uint32_t> pixel;                // of each unknown
  std::vector<double> diagonal;               // the weights of all its neighbours
  std::vector<std::array<int32_t, 8>> links;  // its missing neighbours, -1 where there is none
  std::vector<Colour> right;
  size_t size() const { return pixel.size(); }
};

System system_of(const Subject& subject, std::span<const uint8_t> missing) {
  System system;
  std::vector<int32_t> unknown(missing.size(), -1);
  for (size_t i = 0; i < missing.size(); ++i) {
    if (missing[i] == 0) continue;
    unknown[i] = static_cast<int32_t>(system.size());
    system.pixel.push_back(static_cast<uint32_t>(i));
  }
  for (const uint32_t at : system.pixel) {
    const int x = static_cast<int>(at) % subject.width, y = static_cast<int>(at) / subject.width;
    double weights = 0;
    Colour right{};
    std::array<int32_t, 8> links{};
    for (size_t k = 0; k < kNeighbours.size(); ++k) {
      const int nx = x + kNeighbours[k].dx, ny = y + kNeighbours[k].dy;
      links[k] = -1;
      if (nx < 0 || ny < 0 || nx >= subject.width || ny >= subject.height) continue;
      const auto neighbour = static_cast<size_t>(ny * subject.width + nx);
      weights += kNeighbours[k].weight;
      links[k] = unknown[neighbour];
      if (missing[neighbour] != 0) continue;
      for (size_t c = 0; c < kColours; ++c) right[c] += kNeighbours[k].weight * subject.pixels[neighbour * kColours + c];
    }
    system.diagonal.push_back(weights);
    system.links.push_back(links);
    system.right.push_back(right);
  }
  return system;
}

void multiply(const System& system, const std::vector<Colour>& x, std::vector<Colour>& y) {
  for (size_t i = 0; i < system.size(); ++i) {
    Colour sum;
    for (size_t c = 0; c < kColours; ++c) sum[c] = system.diagonal[i] * x[i][c];
    for (size_t k = 0; k < kNeighbours.size(); ++k) {
      const int32_t link = system.links[i][k];
      if (link < 0) continue;
      for (size_t c = 0; c < kColours; ++c) sum[c] -= kNeighbours[k].weight * x[static_cast<size_t>(link)][c];
    }
    y[i] = sum;
  }
}

// The preconditioner: on each level the unknowns of a square of 2, 4, 8 ... pixels are corrected together, by the residual left there.
// Conjugate gradients alone carry a colour one pixel per step, and it may have a hundred to go.
struct Pyramid {
  struct Level {
    std::vector<uint32_t> square;  // of each unknown
    std::vector<double> diagonal;  // of each square
  };
  std::vector<Level> levels;

  Pyramid(const System& system, const Subject& subject) {
    const auto width = static_cast<uint32_t>(subject.width), longer = static_cast<uint32_t>(std::max(subject.width, subject.height));
    for (uint32_t side = 2; side < longer; side *= 2) {
      const uint32_t across = (width + side - 1) / side, down = (static_cast<uint32_t>(subject.height) + side - 1) / side;
      Level level{.square = {}, .diagonal = std::vector<double>(across * down, 0.0)};
      for (const uint32_t at : system.pixel) level.square.push_back(at / width / side * across + at % width / side);
      for (size_t i = 0; i < system.size(); ++i) {
        double& diagonal = level.diagonal[level.square[i]];
        diagonal += system.diagonal[i];
        for (size_t k = 0; k < kNeighbours.size(); ++k) {
          const int32_t link = system.links[i][k];
          if (link >= 0 && level.square[static_cast<size_t>(link)] == level.square[i]) diagonal -= kNeighbours[k].weight;
        }
      }
      levels.push_back(std::move(level));
    }
  }

  void apply(const System& system, const std::vector<Colour>& r, std::vector<Colour>& z) const {
    for (size_t i = 0; i < r.size(); ++i)
      for (size_t c = 0; c < kColours; ++c) z[i][c] = r[i][c] / system.diagonal[i];
    for (const Level& level : levels) {
      std::vector<Colour> sums(level.diagonal.size(), Colour{});
      for (size_t i = 0; i < r.size(); ++i)
        for (size_t c = 0; c < kColours; ++c) sums[level.square[i]][c] += r[i][c];
      for (size_t s = 0; s < sums.size(); ++s)  // a square without a link to the outside cannot be corrected
        for (double& sum : sums[s]) sum = level.diagonal[s] > 1e-12 ? sum / level.diagonal[s] : 0;
      for (size_t i = 0; i < r.size(); ++i)
        for (size_t c = 0; c < kColours; ++c) z[i][c] += sums[level.square[i]][c];
    }
  }
};

Colour dot(const std::vector<Colour>& a, const std::vector<Colour>& b) {
  Colour sum{};
  for (size_t i = 0; i < a.size(); ++i)
    for (size_t c = 0; c < kColours; ++c) sum[c] += a[i][c] * b[i][c];
  return sum;
}

// a += factor * b, each colour with its own factor.
void add(std::vector<Colour>& a, const Colour& factor, const std::vector<Colour>& b) {
  for (size_t i = 0; i < a.size(); ++i)
    for (size_t c = 0; c < kColours; ++c) a[i][c] += factor[c] * b[i][c];
}

// The three colours are three systems with the same matrix, solved side by side.
std::vector<Colour> solve(const System& system, const Subject& subject) {
  constexpr double kTolerance = 1e-8;  // of the residual, of the right side
  const Pyramid pyramid(system, subject);
  std::vector<Colour> x(system.size(), Colour{}), r = system.right, z(system.size()), q(system.size());
  pyramid.apply(system, r, z);
  std::vector<Colour> p = z;
  Colour rz = dot(r, z);
  const Colour whole = dot(r, r);
  for (size_t step = 0; step < system.size() + 100; ++step) {
    const Colour left = dot(r, r);
    bool done = true;
    for (size_t c = 0; c < kColours; ++c) done = done && left[c] <= kTolerance * kTolerance * whole[c];
    if (done) break;
    multiply(system, p, q);
    const Colour pq = dot(p, q);
    Colour alpha{}, minus{}, beta{};
    for (size_t c = 0; c < kColours; ++c) alpha[c] = pq[c] > 0 ? rz[c] / pq[c] : 0, minus[c] = -alpha[c];
    add(x, alpha, p);
    add(r, minus, q);
    pyramid.apply(system, r, z);
    const Colour next = dot(r, z);
    for (size_t c = 0; c < kColours; ++c) beta[c] = rz[c] > 0 ? next[c] / rz[c] : 0;
    rz = next;
    for (size_t i = 0; i < p.size(); ++i)
      for (size_t c = 0; c < kColours; ++c) p[i][c] = z[i][c] + beta[c] * p[i][c];
  }
  return x;
}

// The picture without these pixels, and noise on them.
std::vector<double> without(const Subject& subject, std::span<const uint32_t> pixels, std::span<const double> noise) {
  std::vector<uint8_t> missing(subject.pixels.size() / kColours, 0);
  for (const uint32_t at : pixels) missing[at] = 1;
  std::vector<double> picture = impute(subject, missing);
  for (const uint32_t at : pixels)
    for (size_t k = at * kColours; k < (at + 1) * kColours; ++k) picture[k] += noise[k];
  return picture;
}

}  // namespace

std::vector<double> impute(const Subject& subject, std::span<const uint8_t> missing) {
  std::vector<double> picture(subject.pixels.begin(), subject.pixels.end());
  const System system = system_of(subject, missing);
  const bool nothing_known = system.size() == missing.size();
  const std::vector<Colour> values = nothing_known ? std::vector<Colour>(system.size(), Colour{}) : solve(system, subject);
  for (size_t i = 0; i < system.size(); ++i) std::copy(values[i].begin(), values[i].end(), picture.begin() + system.pixel[i] * kColours);
  return picture;
}

Road road(const Subject& subject, std::span<const uint32_t> strongest_first, const Confidence& confidence, const RoadOptions& options) {
  const size_t n = strongest_first.size();
  const std::vector<double> noise = normal_numbers(subject.pixels.size(), options.noise, options.key);
  std::vector<double> pictures;
  for (const int percent : options.percents) {
    const size_t stay = (static_cast<size_t>(percent) * (n - 1) + 99) / 100;
    for (const auto& removed : {strongest_first.first(n - stay), strongest_first.last(n - stay)}) {
      const std::vector<double> picture = without(subject, removed, noise);
      pictures.insert(pictures.end(), picture.begin(), picture.end());
    }
  }
  const std::vector<double> confidences = confidence(pictures, static_cast<int64_t>(2 * options.percents.size()));
  Road means;
  for (size_t i = 0; i < confidences.size(); ++i)
    (i % 2 == 0 ? means.most_first : means.least_first) += confidences[i] / static_cast<double>(options.percents.size());
  return means;
}

}  // namespace mirilla::nn
